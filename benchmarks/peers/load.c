/* The load: subscribers of one STOMP topic and one publisher, in one thread.

   load PORT ws|tcp PATH SUBSCRIBERS LOGIN PASSCODE receipts|none

   Connects and subscribes all, says "connected", then obeys lines on stdin:

   run WINDOW RATE SECONDS DRAIN

   WINDOW messages are under way until all subscribers have them (RATE 0), or RATE
   messages a second leave by the clock, whatever comes back. A body of 100 bytes carries
   the message's number and the time at which it left (open loop: should have left), so
   each delivery gives a latency and shows whether it came in order. One line of JSON
   says what came. A failure is told on stderr and ends the program.

   "ws": clients of one address are limited by Salon, so they come from many of 127/8. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BODY 100
#define CHUNK (1 << 18)
#define RING (1 << 16) /* messages whose deliveries are being counted */
#define BUCKET 10000   /* ns */
#define BUCKETS 3000000
#define BEAT 4000000000LL /* ns; 10 s are promised */
#define DESTINATION "/topic/load"

struct client {
    int fd;
    size_t kept; /* bytes of an incomplete frame */
    char *rest;
    int64_t last; /* number of the newest message seen */
};

static struct client *clients, *publisher; /* [0, subscribers): subscribers */
static int subscribers, poll_fd, websocket, receipts;
static uint32_t held[RING], latencies[BUCKETS + 1];
static uint64_t sent, completed, delivered, late, receipt_count, base_number;
static int64_t now, last_delivery, beat_at;
static char frame_bytes[CHUNK];

static int64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *why, const char *what, size_t size) {
    fprintf(stderr, "load: %s: %.*s\n", why, (int)size, what);
    exit(1);
}

/* -- writing ----------------------------------------------------------------------- */

static void write_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {fd, POLLOUT, 0};
            poll(&p, 1, 1000);
            continue;
        }
        if (n <= 0) fail("send", strerror(errno), 99);
        data += n, size -= n;
    }
}

/* A client's frame; the masking key is 0, so the payload stays as it is. */
static size_t framed(char *to, int opcode, const char *data, size_t size) {
    size_t head = 0;
    if (websocket) {
        to[head++] = 0x80 | opcode;
        if (size < 126) to[head++] = 0x80 | size;
        else to[head++] = 0x80 | 126, to[head++] = size >> 8, to[head++] = size;
        memset(to + head, 0, 4);
        head += 4;
    }
    memcpy(to + head, data, size);
    return head + size;
}

static void say(struct client *c, const char *data, size_t size) {
    char bytes[1024];
    write_all(c->fd, bytes, framed(bytes, 1, data, size));
}

static void publish(int count, int64_t at) {
    static char out[64 * 1024];
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        char text[512];
        uint64_t number = base_number + sent++;
        held[number % RING] = 0;
        int n = sprintf(text, "SEND\ndestination:" DESTINATION "\n");
        if (receipts) n += sprintf(text + n, "receipt:%lu\n", number);
        n += sprintf(text + n, "\n%012lu %020ld ", number, at);
        memset(text + n, 'x', BODY - 34);
        n += BODY - 34;
        text[n++] = 0;
        size += framed(out + size, 1, text, n);
    }
    write_all(publisher->fd, out, size);
}

/* -- reading ------------------------------------------------------------------------- */

static void delivery(struct client *c, const char *body) {
    uint64_t number = strtoull(body, NULL, 10);
    int64_t took = now - strtoll(body + 13, NULL, 10);
    if (number < base_number) return; /* of a run before, given up on */
    uint64_t bucket = took < 0 ? 0 : took / BUCKET;
    latencies[bucket < BUCKETS ? bucket : BUCKETS]++;
    if ((int64_t)number < c->last) late++;
    else c->last = number;
    delivered++;
    last_delivery = now;
    if (++held[number % RING] == (uint32_t)subscribers) completed++;
}

/* Whole STOMP frames of a run of bytes; bodies hold no NUL. How much was used. */
static size_t stomp(struct client *c, const char *data, size_t size) {
    const char *at = data, *end = data + size, *nul;
    for (;;) {
        while (at < end && (*at == '\n' || *at == '\r')) at++;
        if (at == end || !(nul = memchr(at, 0, end - at))) return at - data;
        if (*at == 'M') delivery(c, nul - BODY);
        else if (*at == 'R') receipt_count++;
        else if (*at != 'C') fail("unexpected", at, nul - at);
        at = nul + 1;
    }
}

/* Whole WebSocket frames of a run of bytes. How much was used. */
static size_t frames(struct client *c, const char *data, size_t size) {
    size_t at = 0;
    while (size - at >= 2) {
        const unsigned char *p = (const unsigned char *)data + at;
        size_t length = p[1] & 127, head = 2;
        if (length == 126) head = 4;
        if (length == 127) head = 10;
        if (size - at < head) break;
        if (head > 2)
            for (length = 0, p += 2; p < (unsigned char *)data + at + head; p++)
                length = length << 8 | *p;
        if (size - at < head + length) break;
        const char *payload = data + at + head;
        char pong[256];
        switch (data[at] & 15) {
        case 8: fail("closed", payload + 2, length > 2 ? length - 2 : 0); break;
        case 9: write_all(c->fd, pong, framed(pong, 10, payload, length)); break;
        case 10: break;
        default:
            if (stomp(c, payload, length) != length) fail("a split frame", payload, 80);
        }
        at += head + length;
    }
    return at;
}

static void readable(struct client *c) {
    memcpy(frame_bytes, c->rest, c->kept);
    ssize_t n = recv(c->fd, frame_bytes + c->kept, CHUNK - c->kept, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) fail("connection lost", n ? strerror(errno) : "end", 99);
    now = clock_ns();
    size_t size = c->kept + n;
    size_t used = (websocket ? frames : stomp)(c, frame_bytes, size);
    c->kept = size - used;
    if (c->kept) {
        c->rest = realloc(c->rest, c->kept);
        memcpy(c->rest, frame_bytes + used, c->kept);
    }
}

/* -- connecting ---------------------------------------------------------------------- */

/* Read until one frame (or the answer to the upgrade) has come, and forget it. */
static void await(struct client *c, const char *begins, const char *ends, size_t tail) {
    char got[4096];
    size_t size = 0;
    do {
        ssize_t n = recv(c->fd, got + size, sizeof got - size, 0);
        if (n <= 0) fail("no answer while connecting", got, size);
        size += n;
    } while (size < sizeof got && !memmem(got, size, ends, tail));
    if (!memmem(got, size, begins, strlen(begins))) fail("refused", got, size);
}

static void connect_to(struct client *c, int index, int port, const char *path,
                       const char *login, const char *passcode) {
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + index / 200)};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char text[512];
    int yes = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    c->last = -1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) ||
        connect(c->fd, (struct sockaddr *)&to, sizeof to))
        fail("connect", strerror(errno), 99);
    if (websocket) {
        int n = sprintf(text,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\n"
                        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                        "Sec-WebSocket-Protocol: v12.stomp\r\n\r\n",
                        path, port);
        write_all(c->fd, text, n);
        await(c, " 101 ", "\r\n\r\n", 4);
    }
    int n = sprintf(text, "CONNECT\naccept-version:1.2\nhost:/\nlogin:");
    n += sprintf(text + n, login, index);
    if (*passcode) n += sprintf(text + n, "\npasscode:%s", passcode);
    n += sprintf(text + n, "\nheart-beat:10000,10000\n\n");
    say(c, text, n + 1);
    await(c, "CONNECTED", "\0", 1);
}

static void subscribe(struct client *c) {
    char text[256];
    int n = sprintf(text, "SUBSCRIBE\nid:0\ndestination:" DESTINATION "\n%s\n",
                    receipts ? "receipt:s\n" : "");
    say(c, text, n + 1);
    if (receipts) await(c, "RECEIPT", "\0", 1);
}

static void watch(struct client *c) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

/* -- running ------------------------------------------------------------------------- */

static void beat(void) {
    if (now < beat_at) return;
    beat_at = now + BEAT;
    for (int i = 0; i <= subscribers; i++) say(&clients[i], "\n", 1);
}

/* Read what has come, waiting at most until `until`. */
static void turn(int64_t until) {
    struct epoll_event events[512];
    struct pollfd p = {poll_fd, POLLIN, 0};
    int64_t wait = until - now;
    if (wait < 0) wait = 0;
    if (wait > 100000000) wait = 100000000;
    struct timespec t = {0, wait};
    if (ppoll(&p, 1, &t, NULL) > 0) {
        int n = epoll_wait(poll_fd, events, 512, 0);
        for (int i = 0; i < n; i++) readable(events[i].data.ptr);
    }
    now = clock_ns();
    beat();
}

static double percentile(double part) {
    uint64_t want = delivered * part, seen = 0;
    for (int i = 0; i <= BUCKETS; i++)
        if ((seen += latencies[i]) > want) return (i + 0.5) * BUCKET / 1e6;
    return 0;
}

static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec +
           (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void run(int window, double rate, double seconds, double drain) {
    base_number += sent;
    sent = completed = delivered = late = receipt_count = 0;
    memset(latencies, 0, sizeof latencies);
    for (int i = 0; i < subscribers; i++) clients[i].last = -1;
    double cpu_before = cpu();
    int64_t start = now = last_delivery = clock_ns(), end = start + seconds * 1e9;
    int64_t give_up = end + drain * 1e9;
    while (now < end) {
        int64_t next = end;
        if (rate > 0) {
            for (; (next = start + sent * 1e9 / rate) <= now && next < end;)
                publish(1, next);
        } else if (sent - completed < (uint64_t)window)
            publish(window - (sent - completed), now);
        turn(next);
    }
    while (now < give_up &&
           (completed < sent || (receipts && receipt_count < sent)))
        turn(give_up);
    double lasted = (last_delivery - start) / 1e9;
    printf("{\"sent\": %lu, \"delivered\": %lu, \"lost\": %lu, \"late\": %lu, "
           "\"receipts\": %lu, \"per_second\": %.1f, \"p50\": %.3f, \"p99\": %.3f, "
           "\"client_cpu\": %.4f}\n",
           sent, delivered, sent * subscribers - delivered, late, receipt_count,
           lasted > 0 ? delivered / lasted : 0, percentile(0.5), percentile(0.99),
           cpu() - cpu_before);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc != 8) return fprintf(stderr, "see load.c\n"), 2;
    int port = atoi(argv[1]);
    websocket = !strcmp(argv[2], "ws");
    subscribers = atoi(argv[4]);
    receipts = !strcmp(argv[7], "receipts");
    clients = calloc(subscribers + 1, sizeof *clients);
    publisher = &clients[subscribers];
    poll_fd = epoll_create1(0);
    for (int i = 0; i <= subscribers; i++) {
        connect_to(&clients[i], i, port, argv[3], argv[5], argv[6]);
        if (i < subscribers) subscribe(&clients[i]);
    }
    for (int i = 0; i <= subscribers; i++) watch(&clients[i]);
    now = clock_ns();
    beat_at = now + BEAT;
    printf("connected\n");
    fflush(stdout);
    for (;;) {
        struct pollfd p[] = {{0, POLLIN, 0}, {poll_fd, POLLIN, 0}};
        poll(p, 2, 1000);
        if (p[0].revents) {
            char line[256];
            int window;
            double rate, seconds, drain;
            ssize_t n = read(0, line, sizeof line - 1);
            if (n <= 0) return 0;
            line[n] = 0;
            if (sscanf(line, "run %d %lf %lf %lf", &window, &rate, &seconds, &drain) != 4)
                fail("what is", line, n);
            run(window, rate, seconds, drain);
        }
        now = clock_ns();
        turn(now);
    }
}
