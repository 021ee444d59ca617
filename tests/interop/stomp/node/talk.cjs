// An official JavaScript client, unmodified, through every frame of STOMP.
//   node talk.cjs LIBRARY TRANSPORT HTTP_PORT STOMP_PORT
// LIBRARY: stompjs7 (@stomp/stompjs) or stompjs2 (stompjs 2.3.3); TRANSPORT: websocket,
// sockjs (1.6.1), sockjs114-xhr-streaming, sockjs114-xhr-polling, or tcp (stompjs2).
// Prints what it saw as JSON; leaves with 1 after 20 s.

const WS = require('ws');
const [library, transport, httpPort, stompPort] = process.argv.slice(2);
const seen = {};
setTimeout(() => {
  console.log(JSON.stringify({ ...seen, late: true }));
  process.exit(1);
}, 20000).unref();

function socket(protocols) {
  const base = `//127.0.0.1:${httpPort}/ws`;
  if (transport === 'websocket') return new WS(`ws:${base}/websocket`, protocols);
  const [kind, ...way] = transport.split('-');
  const SockJS = require(kind === 'sockjs114' ? 'sockjs-client-1-1-4' : 'sockjs-client');
  return new SockJS(`http:${base}`, null, way.length ? { transports: [way.join('-')] } : {});
}

// The two libraries, made alike.
function modern(onError) {
  const { Client } = require('@stomp/stompjs');
  const client = new Client({
    webSocketFactory: () => socket(['v12.stomp', 'v11.stomp', 'v10.stomp']),
    connectHeaders: { login: 'Ann' },
    heartbeatIncoming: 1000,
    heartbeatOutgoing: 1000,
    reconnectDelay: 0,
    onStompError: onError,
  });
  return {
    connect: () => new Promise((done) => {
      client.onConnect = (frame) => done(frame.headers);
      client.activate();
    }),
    receipt: (id) => new Promise((done) => client.watchForReceipt(id, (f) => done(f.headers))),
    send: (destination, body, headers) => client.publish({ destination, body, headers }),
    subscribe: (destination, on, headers) => client.subscribe(destination, on, headers),
    begin: (id) => client.begin(id),
    disconnect: () => client.deactivate(),
  };
}

function old(onError) {
  const Stomp = require('stompjs');
  const client = transport === 'tcp'
    ? Stomp.overTCP('127.0.0.1', Number(stompPort))
    : Stomp.over(socket(['v11.stomp', 'v10.stomp']));
  client.debug = null;
  const receipts = {};
  client.onreceipt = (frame) => receipts[frame.headers['receipt-id']]?.(frame.headers);
  client.heartbeat = { outgoing: 1000, incoming: 1000 };
  return {
    connect: () => new Promise((done) => {
      client.connect({ login: 'Ann', passcode: '' }, (frame) => done(frame.headers), onError);
    }),
    receipt: (id) => new Promise((done) => { receipts[id] = done; }),
    send: (destination, body, headers) => client.send(destination, headers, body),
    subscribe: (destination, on, headers) => client.subscribe(destination, (message) => {
      // Its own `message.ack` names the last message of those that came in one read: they
      // share a variable. Whoever uses 2.3.3 with more than one at a time does this.
      const { 'message-id': id, subscription } = message.headers;
      message.ack = (more) => client.ack(id, subscription, more);
      message.nack = (more) => client.nack(id, subscription, more);
      on(message);
    }, headers),
    begin: (id) => client.begin(id),
    disconnect: () => new Promise((done) => client.disconnect(done)),
  };
}

function inbox() {
  const waiting = [], readers = [];
  const on = (message) => (readers.length ? readers.shift()(message) : waiting.push(message));
  const next = () => waiting.length
    ? Promise.resolve(waiting.shift())
    : new Promise((done) => readers.push(done));
  return { on, next };
}

async function talk() {
  const client = (library === 'stompjs7' ? modern : old)((frame) => {
    console.log(JSON.stringify({ ...seen, error: frame.headers ?? String(frame) }));
    process.exit(1);
  });
  const connected = await client.connect();
  seen.version = connected.version;
  seen.heartBeat = connected['heart-beat'];

  const echo = inbox();
  let receipt = client.receipt('s');
  const subscription = client.subscribe('/topic/echo', echo.on, { receipt: 's' });
  await receipt;
  receipt = client.receipt('m');
  client.send('/app/echo', 'grüße: 1', { receipt: 'm' });
  seen.echo = (await echo.next()).body;
  seen.size = (await receipt).size;
  const long = 'ä'.repeat(20000);
  client.send('/app/echo', long, {});
  seen.long = (await echo.next()).body === long;
  subscription.unsubscribe();

  const jobs = inbox();
  client.subscribe('/queue/jobs', jobs.on, { ack: 'client-individual' });
  client.send('/queue/jobs', 'a', {});
  client.send('/queue/jobs', 'b', {});
  const a = await jobs.next(), b = await jobs.next();
  a.ack();
  b.nack();
  const again = await jobs.next();
  seen.jobs = [a.body, b.body, again.body, again.headers.redelivered ?? null];

  const work = client.begin('t1');
  client.send('/queue/out', '1', { transaction: work.id });
  client.send('/queue/out', '2', { transaction: work.id });
  again.ack({ transaction: work.id });
  work.commit();
  const undone = client.begin('t2');
  client.send('/queue/never', 'x', { transaction: undone.id });
  undone.abort();
  receipt = client.receipt('end');
  client.send('/app/echo', 'end', { receipt: 'end' });
  await receipt;
  await client.disconnect();
  console.log(JSON.stringify(seen));
  process.exit(0);
}

talk();
