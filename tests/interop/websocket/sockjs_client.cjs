// Talks to the gateway as a page does: one transport, messages with awkward characters.
// Prints one JSON line for each event. Arguments: url, transport.
const SockJS = require('sockjs-client')

const [url, transport] = process.argv.slice(2)
const say = (event) => console.log(JSON.stringify(event))
const words = ['plain', 'grüße 你好 🦊', '\u0000\u001f\u200c\u2028\ufff0', '"\\\n', 'x'.repeat(20000)]
const socket = new SockJS(url, null, { transports: [transport] })
let echoed = 0

socket.onopen = () => {
  say({ open: socket.transport })
  for (const word of words) socket.send(word)
}
socket.onmessage = ({ data }) => {
  say({ same: data === words[echoed] })
  echoed += 1
  if (echoed === words.length) socket.send('close')
}
socket.onclose = ({ code, reason }) => say({ close: code, reason })
