// The guest pages: one script for all three, told apart by <body data-chat>.
"use strict";

const chat = document.body.dataset.chat; // "public", "room" or "user"
const element = (id) => document.getElementById(id);
const KEPT = 500; // entries of the log that stay in the page

/** Any text as one segment of a destination: no slash, dot or wildcard is left. */
function segment(text) {
  const whole = text.trim().normalize("NFC").replace(/\p{Surrogate}/gu, "\uFFFD");
  const hex = (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase();
  return encodeURIComponent(whole).replace(/[*.]/g, hex);
}

/** Where to listen, what to say hello to, where to send: as in the original. */
const WAYS = {
  public: () => ["/topic/public", "/app/chat.addUser", "/app/chat.sendMessage"],
  room: (_, room) => [
    `/topic/chat/${segment(room)}`,
    `/app/chat.addUserToRoom/${segment(room)}`,
    `/app/chat/${segment(room)}`,
  ],
  user: (me, other) => [
    "/user/queue/private",
    `/app/chat.helloUser/${segment(me)}`,
    `/app/chatToUser/${segment(other)}`,
  ],
};

function show(message) {
  refusals = 0;
  const item = document.createElement("p");
  if (message.type === "CHAT") {
    const who = document.createElement("strong");
    who.textContent = message.sender ?? "somebody";
    item.append(who, `: ${message.content ?? ""}`);
  } else {
    item.className = "event";
    item.textContent = `${message.sender ?? "Somebody"} ${message.type === "JOIN" ? "is here" : "left"}`;
  }
  const log = element("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(item);
  if (log.childElementCount > KEPT) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function problem(text) {
  element("problem").textContent = text;
}

let client = null;
let way = [];
let wasIn = false;
let refusals = 0;

function connected(name) {
  wasIn = true;
  problem("");
  element("status").textContent = `You are ${name}.`;
  element("join").hidden = true;
  element("chat").hidden = false;
  element("text").disabled = false;
  element("text").focus();
  client.subscribe("/user/queue/errors", (frame) => problem(JSON.parse(frame.body).message));
  client.subscribe(way[0], (frame) => show(JSON.parse(frame.body)));
  send(way[1], { type: "JOIN", content: null, sender: name });
}

function send(destination, message) {
  client.publish({ destination, body: JSON.stringify(message) });
}

/** The server said no. A name that was ours may need a moment to be free again. */
function refused(frame) {
  problem(frame.headers.message);
  refusals += 1;
  if (wasIn && refusals < 6) return; // the client comes back by itself
  client.deactivate();
  element("chat").hidden = true;
  element("join").hidden = false;
  element("enter").disabled = false;
  element("name").focus();
}

function closed() {
  if (!client.active) return;
  if (!wasIn) problem("The server does not answer; trying again …");
  element("status").textContent = "Not connected; trying again …";
  element("text").disabled = true;
}

element("join").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = element("name").value.trim();
  const other = element("other")?.value ?? "";
  if (!segment(name) || (element("other") && !segment(other))) {
    problem("Fill in every field.");
    return;
  }
  way = WAYS[chat](name, other);
  wasIn = false;
  refusals = 0;
  problem("");
  element("enter").disabled = true;
  client = new StompJs.Client({
    webSocketFactory: () => new SockJS("/ws"),
    connectHeaders: { login: name },
    reconnectDelay: 2000 + Math.random() * 2000,
    onConnect: () => connected(name),
    onStompError: refused,
    onWebSocketClose: closed,
  });
  client.activate();
});

element("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = element("text");
  if (!client?.connected || !input.value.trim()) return;
  problem("");
  send(way[2], { type: "CHAT", content: input.value, sender: element("name").value });
  input.value = "";
});

addEventListener("pagehide", () => client?.deactivate());
element("name").focus();
