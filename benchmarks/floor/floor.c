/* A minimal WebSocket server: the floor of what a fan-out costs. See README.md. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define MOST 16384
#define CHUNK 65536

struct bytes {
    char *data;
    size_t size, room;
};

struct client {
    int fd, open, subscribed, gone;
    struct bytes in, out; /* out: what the socket did not take */
};

static struct client *clients[MOST]; /* by file descriptor */
static struct client *subscribers[MOST];
static int subscriber_count, poll_fd, joined;
static struct bytes batch;

static void append(struct bytes *b, const void *data, size_t size) {
    if (b->size + size > b->room) {
        b->room = (b->size + size) * 2;
        b->data = realloc(b->data, b->room);
        if (!b->data) abort();
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void drop(struct bytes *b, size_t size) {
    b->size -= size;
    memmove(b->data, b->data + size, b->size);
}

static void watch(struct client *c, uint32_t events, int how) {
    struct epoll_event e = {.events = events, .data.fd = c->fd};
    epoll_ctl(poll_fd, how, c->fd, &e);
}

static void give(struct client *c, const char *data, size_t size) {
    ssize_t sent = 0;
    if (c->gone) return;
    if (!c->out.size) {
        sent = send(c->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent == (ssize_t)size) return;
        if (sent < 0) {
            if (errno != EAGAIN) return; /* its end is read later */
            sent = 0;
        }
        watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    }
    append(&c->out, data + sent, size - sent);
}

static void give_rest(struct client *c) {
    ssize_t sent = send(c->fd, c->out.data, c->out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) drop(&c->out, sent);
    if (!c->out.size) watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

/* One unmasked text frame; the head has at most 10 bytes. */
static size_t head_of(unsigned char *head, size_t size) {
    head[0] = 0x81;
    if (size < 126) return head[1] = size, 2;
    if (size < 65536) {
        head[1] = 126, head[2] = size >> 8, head[3] = size;
        return 4;
    }
    head[1] = 127;
    for (int i = 0; i < 8; i++) head[2 + i] = (uint64_t)size >> (56 - 8 * i);
    return 10;
}

static void publish(const struct bytes *frames) {
    for (int i = 0; i < subscriber_count; i++)
        give(subscribers[i], frames->data, frames->size);
}

static void message(struct client *c, char *payload, size_t size) {
    static struct bytes frame;
    unsigned char head[10];
    size_t head_size = head_of(head, size);
    struct bytes *to = size && payload[0] == 'p' && joined ? &batch : &frame;
    if (to == &frame) frame.size = 0;
    if (!size) return;
    if (payload[0] == 's' && !c->subscribed) {
        c->subscribed = 1;
        subscribers[subscriber_count++] = c;
    }
    append(to, head, head_size);
    append(to, payload, size);
    if (payload[0] == 'e') give(c, frame.data, frame.size);
    if (payload[0] == 'p' && !joined) publish(&frame);
}

/* -- the handshake: SHA-1 (RFC 3174) and base64 ----------------------------------- */

static uint32_t turn(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1(const unsigned char *text, size_t size, unsigned char digest[20]) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    unsigned char padded[128] = {0}; /* keys are short: two blocks at most */
    size_t blocks = size + 9 > 64 ? 2 : 1;
    memcpy(padded, text, size);
    padded[size] = 0x80;
    padded[blocks * 64 - 1] = size * 8;
    padded[blocks * 64 - 2] = size * 8 >> 8;
    for (size_t block = 0; block < blocks; block++) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 16; i++) {
            const unsigned char *p = padded + block * 64 + 4 * i;
            w[i] = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
        }
        for (int i = 16; i < 80; i++)
            w[i] = turn(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            uint32_t f, k;
            if (i < 20) f = (b & c) | (~b & d), k = 0x5A827999;
            else if (i < 40) f = b ^ c ^ d, k = 0x6ED9EBA1;
            else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
            else f = b ^ c ^ d, k = 0xCA62C1D6;
            uint32_t next = turn(a, 5) + f + e + k + w[i];
            e = d, d = c, c = turn(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) digest[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

static void base64(const unsigned char *in, size_t size, char *out) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = in[i] << 16 | (i + 1 < size ? in[i + 1] << 8 : 0) |
                         (i + 2 < size ? in[i + 2] : 0);
        for (int j = 0; j < 4; j++) *out++ = letters[three >> (18 - 6 * j) & 63];
        if (i + 1 >= size) out[-2] = '=';
        if (i + 2 >= size) out[-1] = '=';
    }
    *out = 0;
}

static void handshake(struct client *c) {
    char text[128], accept[32], answer[256];
    unsigned char digest[20];
    char *end = memmem(c->in.data, c->in.size, "\r\n\r\n", 4);
    if (!end) return;
    *end = 0;
    char *key = strcasestr(c->in.data, "sec-websocket-key: ");
    if (!key) exit(1);
    key += 19;
    snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
             (int)strcspn(key, "\r"), key);
    sha1((unsigned char *)text, strlen(text), digest);
    base64(digest, 20, accept);
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                        accept);
    c->open = 1;
    give(c, answer, size);
    drop(&c->in, end + 4 - c->in.data);
}

/* -- reading ---------------------------------------------------------------------- */

static void frames(struct client *c) {
    size_t at = 0;
    while (c->in.size - at >= 6) {
        unsigned char *p = (unsigned char *)c->in.data + at;
        size_t size = p[1] & 127, head = 2;
        if (size == 126) size = p[2] << 8 | p[3], head = 4;
        if (size == 127) exit(1); /* nobody sends that much here */
        if (c->in.size - at < head + 4 + size) break;
        unsigned char *mask = p + head, *payload = p + head + 4;
        for (size_t i = 0; i < size; i++) payload[i] ^= mask[i & 3];
        if ((p[0] & 15) == 1) message(c, (char *)payload, size);
        at += head + 4 + size;
    }
    drop(&c->in, at);
    if (batch.size) publish(&batch);
    batch.size = 0;
}

static void end(struct client *c) {
    c->gone = 1;
    for (int i = 0; i < subscriber_count; i++)
        if (subscribers[i] == c) subscribers[i--] = subscribers[--subscriber_count];
    close(c->fd);
    clients[c->fd] = NULL;
    free(c->in.data);
    free(c->out.data);
    free(c);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int yes = 1, listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    static char chunk[CHUNK];
    struct epoll_event events[256], accepting = {.events = EPOLLIN};
    joined = argc > 1 && !strcmp(argv[1], "joined");
    if (bind(listening, (struct sockaddr *)&address, size) || listen(listening, 1024))
        return 1;
    getsockname(listening, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    poll_fd = epoll_create1(0);
    accepting.data.fd = listening;
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listening, &accepting);
    for (;;) {
        int count = epoll_wait(poll_fd, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listening) {
                int next = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
                if (next < 0 || next >= MOST) continue;
                setsockopt(next, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                clients[next] = calloc(1, sizeof(struct client));
                clients[next]->fd = next;
                watch(clients[next], EPOLLIN, EPOLL_CTL_ADD);
                continue;
            }
            struct client *c = clients[fd];
            if (!c) continue;
            if (events[i].events & EPOLLOUT) give_rest(c);
            if (!(events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
            ssize_t got = recv(fd, chunk, CHUNK, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) {
                end(c);
                continue;
            }
            append(&c->in, chunk, got);
            if (!c->open) handshake(c);
            if (c->open) frames(c);
        }
    }
}
