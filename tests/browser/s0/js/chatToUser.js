chatPage({
  listens: (typed) => [`/user/chat/${typed("name")}`, `/topic/chatToUser/${typed("name")}`],
  hello: (typed) => `/app/chat.helloUser/${typed("name")}`,
  says: (typed) => `/app/chatToUser/${typed("user")}`,
});
