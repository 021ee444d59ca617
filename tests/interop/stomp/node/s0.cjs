// A page of S0 as its scripts are written: sockjs-client 1.1.4 and stomp.js 2.3.3,
// identity in the CONNECT headers, nothing URL-encoded, header map {}.
//   node s0.cjs HTTP_PORT NAME SUBSCRIBE[,SUBSCRIBE] SEND_ON_CONNECT
// Then it reads lines "DESTINATION BODY" from standard input and SENDs them; prints each
// MESSAGE as "DESTINATION BODY"; at the end of input it disconnects as the pages do.

const SockJS = require('sockjs-client-1-1-4');
const Stomp = require('stompjs');
const [port, name, subscribe, hello] = process.argv.slice(2);
const client = Stomp.over(new SockJS(`http://127.0.0.1:${port}/ws`));
client.debug = null;
const id = '1700000000000' + name;
client.connect({ 'User-ID': id, 'User-Name': name }, (frame) => {
  console.log(`CONNECTED ${frame.headers['user-name']}`);
  for (const destination of subscribe.split(',')) {
    client.subscribe(destination, (message) => {
      console.log(`${message.headers.destination} ${message.body}`);
    });
  }
  client.send(hello, {}, JSON.stringify({ sender: name, type: 'JOIN' }));
  require('readline').createInterface({ input: process.stdin })
    .on('line', (line) => {
      const at = line.indexOf('\t');
      client.send(line.slice(0, at), {}, line.slice(at + 1));
    })
    .on('close', () => {
      client.disconnect();
      setTimeout(() => process.exit(0), 200);
    });
}, (error) => {
  console.log(`ERROR ${error.headers ? error.headers.code : error}`);
  process.exit(1);
});
