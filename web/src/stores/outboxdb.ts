/**
 * What was typed and is not yet durable, in IndexedDB: it survives a reload, a crash
 * and a closed lid. Where storage is forbidden (private windows) the page's memory
 * has to do.
 */

import { openDB, type DBSchema, type IDBPDatabase } from "idb";

import type { Id, Refusal } from "@/api/types";

export interface PictureWish {
  prompt: string;
  negative?: string;
  seed?: number;
  steps?: number;
  guidance?: number;
}

export type OutboxState = "waiting" | "sending" | "sent" | "failed";

export interface OutboxEntry {
  /** UUIDv7: the idempotency key. */
  client_id: string;
  user: Id;
  conversation: Id;
  wish: { kind: "message"; text: string } | ({ kind: "picture" } & PictureWish);
  /** Milliseconds since 1970, by this device's clock. */
  created: number;
  state: OutboxState;
  error?: Refusal;
  /** Not before this moment: the server asked to wait. */
  notBefore?: number;
  /** From the receipt: it is durable, its event is on the way. */
  seq?: number;
}

export interface OutboxStorage {
  all(user: Id): Promise<OutboxEntry[]>;
  put(entry: OutboxEntry): Promise<void>;
  remove(clientId: string): Promise<void>;
}

interface Schema extends DBSchema {
  outbox: { key: string; value: OutboxEntry; indexes: { user: string } };
}

export class IdbOutbox implements OutboxStorage {
  private readonly db: Promise<IDBPDatabase<Schema>>;

  constructor(name = "salon") {
    this.db = openDB<Schema>(name, 1, {
      upgrade(db) {
        db.createObjectStore("outbox", { keyPath: "client_id" }).createIndex("user", "user");
      },
    });
    this.db.catch(() => undefined); // each use reports it
  }

  async all(user: Id): Promise<OutboxEntry[]> {
    return (await this.db).getAllFromIndex("outbox", "user", user);
  }

  async put(entry: OutboxEntry): Promise<void> {
    // a plain copy: reactive proxies cannot be cloned into the database
    await (await this.db).put("outbox", JSON.parse(JSON.stringify(entry)) as OutboxEntry);
  }

  async remove(clientId: string): Promise<void> {
    await (await this.db).delete("outbox", clientId);
  }
}
