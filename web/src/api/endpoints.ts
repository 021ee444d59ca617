/** One function per endpoint of docs/reference/protocol.md. */

import { request } from "./http";
import type { ChatEvent, Conversation, Id, Invite, Me, ServerInfo, Sync, User } from "./types";

export interface Account {
  token: string;
  handle: string;
  name: string;
  password: string;
}

const v1 = (path: string) => `/api/v1/${path}`;

export const getServer = () => request<ServerInfo>("GET", v1("server"));
export const getMe = () => request<Me>("GET", v1("me"));
export const setup = (account: Account) => request<Me>("POST", v1("setup"), account);
export const login = (handle: string, password: string) =>
  request<Me>("POST", v1("login"), { handle, password });
export const logout = () => request<void>("POST", v1("logout"));

export const createInvite = () => request<Invite>("POST", v1("invites"), {});
export const lookAtInvite = (token: string) =>
  request<{ inviter: string }>("POST", v1("invites/look"), { token });
export const join = (account: Account) => request<Me>("POST", v1("join"), account);

export const getUsers = () => request<{ users: User[] }>("GET", v1("users"));

export const getSync = (token?: string) =>
  request<Sync>("GET", v1("sync") + (token ? `?token=${encodeURIComponent(token)}` : ""));

export interface Page {
  events: ChatEvent[];
  last_seq: number;
}

export function getEvents(
  conversation: Id,
  range: { after?: number; before?: number; limit?: number },
): Promise<Page> {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(range)) {
    if (value !== undefined) query.set(key, String(value));
  }
  return request<Page>("GET", v1(`conversations/${conversation}/events?${query}`));
}

export const createDirect = (user: Id) =>
  request<Conversation>("POST", v1("conversations"), { kind: "single", user });

/** `key` makes a second try find the group of the first. */
export const createGroup = (name: string, members: Id[], key: string) =>
  request<Conversation>(
    "POST",
    v1("conversations"),
    { kind: "group", name, members },
    { "Idempotency-Key": key },
  );

export const addMembers = (conversation: Id, users: Id[]) =>
  request<Conversation>("POST", v1(`conversations/${conversation}/members`), { users });

export const removeMember = (conversation: Id, user: Id) =>
  request<void>("DELETE", v1(`conversations/${conversation}/members/${user}`));

export const mediaUrl = (file: string) => `/media/${encodeURIComponent(file)}`;
