chatPage({
  listens: () => ["/topic/public"],
  hello: () => "/app/chat.addUser",
  says: () => "/app/chat.sendMessage",
});
