/**
 * A UUID of version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, a counter of 12
 * bits that begins anew each millisecond (section 6.2, method 1), then random. Ordered
 * by the time of making, so the outbox reads back in the order of typing.
 */
export function uuidv7(now: number = Date.now()): string {
  if (now > last.time) last = { time: now, count: 0 };
  else if (last.count < 0xfff) last.count += 1;
  else last = { time: last.time + 1, count: 0 }; // borrow from the next millisecond
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  let time = last.time;
  for (let i = 5; i >= 0; i -= 1) {
    bytes[i] = time % 256;
    time = Math.floor(time / 256);
  }
  bytes[6] = 0x70 | (last.count >> 8);
  bytes[7] = last.count & 0xff;
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

let last = { time: 0, count: 0 };
