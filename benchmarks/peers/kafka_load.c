/* Un-batched Kafka requests: N connections, one request in flight on each.
 *
 *   kafka_load PORT CONNECTIONS SECONDS FRAME_FILE
 *
 * FRAME_FILE holds one Produce v7 request with its length prefix, for one partition.
 * Every answer is read whole and its error code looked at; the first that is not 0 ends
 * the run. Prints "requests seconds p50_us p99_us". A client in C, because one in Python
 * is slower than the brokers and would be what is measured.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MOST 1024
#define BUCKETS 100000 /* of one microsecond */

struct conn {
  int fd;
  size_t have;
  uint64_t sent_ns;
  unsigned char answer[4096];
};

static struct conn conns[MOST];
static unsigned char frame[65536];
static size_t frame_size;
static uint64_t histogram[BUCKETS];

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static void ask(struct conn *c) {
  c->have = 0;
  c->sent_ns = now_ns();
  if (write(c->fd, frame, frame_size) != (ssize_t)frame_size) die("write");
}

/* 4 length, 4 correlation id, 4 topics, string, 4 partitions, 4 index, 2 error */
static int error_of(const struct conn *c) {
  size_t name = (size_t)c->answer[12] << 8 | c->answer[13];
  size_t at = 14 + name + 8;
  return (int16_t)(c->answer[at] << 8 | c->answer[at + 1]);
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  int count = atoi(argv[2]);
  double seconds = atof(argv[3]);
  if (count < 1 || count > MOST) return 2;
  FILE *file = fopen(argv[4], "rb");
  if (!file) die(argv[4]);
  frame_size = fread(frame, 1, sizeof frame, file);
  fclose(file);
  int poll = epoll_create1(0);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)atoi(argv[1]))};
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  for (int i = 0; i < count; i++) {
    struct conn *c = &conns[i];
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poll, EPOLL_CTL_ADD, c->fd, &event);
  }
  uint64_t began = now_ns(), until = began + (uint64_t)(seconds * 1e9), done = 0;
  for (int i = 0; i < count; i++) ask(&conns[i]);
  struct epoll_event events[64];
  uint64_t now = began;
  while (now < until) {
    int ready = epoll_wait(poll, events, 64, 1000);
    if (ready < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < ready; i++) {
      struct conn *c = events[i].data.ptr;
      ssize_t got = read(c->fd, c->answer + c->have, sizeof c->answer - c->have);
      if (got <= 0) die("the broker hung up");
      c->have += (size_t)got;
      uint32_t size;
      memcpy(&size, c->answer, 4);
      if (c->have < 4 || c->have < 4 + (size_t)ntohl(size)) continue;
      if (error_of(c)) {
        fprintf(stderr, "error code %d\n", error_of(c));
        return 1;
      }
      uint64_t us = (now_ns() - c->sent_ns) / 1000;
      histogram[us < BUCKETS ? us : BUCKETS - 1]++;
      done++;
      ask(c);
    }
    now = now_ns();
  }
  uint64_t seen = 0, p50 = 0, p99 = 0;
  for (uint64_t us = 0; us < BUCKETS; us++) {
    seen += histogram[us];
    if (!p50 && seen * 2 >= done) p50 = us + 1;
    if (!p99 && seen * 100 >= done * 99) p99 = us + 1;
  }
  printf("%llu %f %llu %llu\n", (unsigned long long)done, (double)(now - began) / 1e9,
         (unsigned long long)p50, (unsigned long long)p99);
  return 0;
}
