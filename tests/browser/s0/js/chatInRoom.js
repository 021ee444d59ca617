chatPage({
  listens: (typed) => [`/topic/chat/${typed("room")}`],
  hello: (typed) => `/app/chat.addUserToRoom/${typed("room")}`,
  says: (typed) => `/app/chat/${typed("room")}`,
});
