// A page as a front end for S0 is written: SockJS at /ws, stomp.js over it, identity in
// the headers of CONNECT, an empty header map with SEND, nothing URL-encoded.
// `place` says where it listens and speaks; each function gets what was typed.

function chatPage(place) {
  const find = (id) => document.getElementById(id);
  const typed = (id) => (find(id) ? find(id).value.trim() : null);
  let client = null;

  function received(frame) {
    const message = JSON.parse(frame.body);
    const line = document.createElement("li");
    line.dataset.raw = frame.body;
    line.dataset.destination = frame.headers.destination;
    if (message.type === "CHAT") {
      line.textContent = `${message.sender}: ${message.content}`;
    } else {
      line.className = "event";
      line.textContent = `${message.sender} ${message.type === "JOIN" ? "joined" : "left"}`;
    }
    find("messages").appendChild(line);
  }

  function connected(frame) {
    find("state").textContent = `here as ${frame.headers["user-name"]}`;
    for (const destination of place.listens(typed)) client.subscribe(destination, received);
    client.send(place.hello(typed), {}, JSON.stringify({ sender: typed("name"), type: "JOIN" }));
    find("say").hidden = false;
  }

  find("who").addEventListener("submit", (event) => {
    event.preventDefault();
    client = Stomp.over(new SockJS("/ws"));
    client.debug = null;
    client.connect(
      { "User-ID": Date.now(), "User-Name": typed("name") },
      connected,
      (error) => {
        find("state").textContent = `failed: ${error}`;
      },
    );
  });

  find("say").addEventListener("submit", (event) => {
    event.preventDefault();
    const message = { sender: typed("name"), content: typed("text"), type: "CHAT" };
    client.send(place.says(typed), {}, JSON.stringify(message));
    find("text").value = "";
  });
}
