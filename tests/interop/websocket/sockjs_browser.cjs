// A page in Chromium talks to the gateway by one transport after another.
// Prints one JSON line for each. Arguments: page's origin, service, transports.
const { chromium } = require('playwright-core')

const [origin, service, ...transports] = process.argv.slice(2)

// Runs in the page.
const talk = ([service, transport]) =>
  new Promise((resolve) => {
    const said = []
    const words = ['plain', 'grüße 你好 🦊', '</script><!--', '"\\\n\u2028', 'x'.repeat(20000)]
    const socket = new SockJS(service, null, { transports: [transport] })
    let echoed = 0
    socket.onopen = () => {
      said.push({ open: socket.transport })
      for (const word of words) socket.send(word)
    }
    socket.onmessage = ({ data }) => {
      said.push({ same: data === words[echoed] })
      echoed += 1
      if (echoed === words.length) socket.send('close')
    }
    socket.onclose = ({ code, reason }) => {
      said.push({ close: code, reason })
      resolve(said)
    }
    setTimeout(() => resolve(said), 15000)
  })

const main = async () => {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu'],
  })
  try {
    for (const transport of transports) {
      const page = await browser.newPage()
      await page.goto(origin + '/')
      await page.addScriptTag({ url: origin + '/sockjs.js' })
      const said = await page.evaluate(talk, [service, transport])
      console.log(JSON.stringify({ transport, said }))
      await page.close()
    }
  } finally {
    await browser.close()
  }
}

main()
