/*
 * The load client: WebSocket connections on one epoll, which count and check what they are sent.
 *
 *   client PORT PATH CONNECTIONS [--subprotocol S] [--hello TEXT]... [--ready TEXT]
 *          [--warm N] [--expect N] [--together N] [--many] [--path PATH]...
 *
 * A connection is ready when a frame has TEXT in it (without --ready: after the 101). When all are,
 * a line `ready {...}` is printed. With --warm, the first N messages of each connection are not
 * counted, and a line `warm` is printed when all have them. It ends when every connection has N
 * messages more, on a line from stdin, or after 20 s without anything, and prints a line of JSON.
 * With --path, connections take the paths in turn.
 *
 * A message is the JSON text of a `run.output`; the seqs of a connection must have no gap. Text that
 * begins with `@` and 19 digits is the time at which it was said (CLOCK_MONOTONIC, ns). With --many
 * a frame may have more than one message.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (512 * 1024)
#define BUFFER (8 * 1024 * 1024)
#define MESSAGE "{\"type\":\"run.output\""
#define SNAPSHOT "{\"type\":\"snapshot\""
#define MAX_LATENCIES (4 * 1024 * 1024)
#define MAX_PATHS 1024

struct connection {
    int fd;
    char phase; /* 0 connecting, 1 awaits 101, 2 open */
    char ready;
    uint8_t *carry;
    size_t carried;
    long messages;
    long last_seq;
};

static struct connection *all;
static int wanted, opened, ready, warmed, complete, closed_early, epoll_fd, port, many, hellos, paths;
static long warm_messages, expect_messages, messages, frames, bytes, broken, reads, latencies;
static const char *path[MAX_PATHS], *subprotocol, *ready_text, *hello[8];
static uint32_t *latency;
static uint8_t *buffer;

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void send_all(int fd, const void *data, size_t size) {
    if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size) die("send");
}

static void send_text(int fd, const char *text) {
    uint8_t frame[1024];
    size_t size = strlen(text), head = 2;
    frame[0] = 0x81;
    if (size < 126) {
        frame[1] = 0x80 | size;
    } else {
        frame[1] = 0x80 | 126;
        frame[2] = size >> 8;
        frame[3] = size;
        head = 4;
    }
    memset(frame + head, 0, 4); /* a mask of zeros */
    memcpy(frame + head + 4, text, size);
    send_all(fd, frame, head + 4 + size);
}

static void open_next(void) {
    struct connection *c = &all[opened++];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (void *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
}

static void ask(struct connection *c) {
    char request[2048];
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nOrigin: http://127.0.0.1:%d\r\n"
                        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s\r\n",
                        path[(c - all) % paths], port, port, subprotocol ? "Sec-WebSocket-Protocol: " : "",
                        subprotocol ? subprotocol : "", subprotocol ? "\r\n" : "");
    send_all(c->fd, request, size);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    c->phase = 1;
}

static void now_ready(struct connection *c) {
    if (c->ready) return;
    c->ready = 1;
    ready++;
    if (opened < wanted) open_next();
}

static long number(const uint8_t *p, const uint8_t *end) {
    long value = 0;
    while (p < end && *p >= '0' && *p <= '9') value = value * 10 + *p++ - '0';
    return value;
}

/* Find a word: most likely it is where it was the last time. */
static const uint8_t *find(const uint8_t *p, const uint8_t *end, const char *word, size_t *last) {
    size_t size = strlen(word);
    if (p + *last + size > end || memcmp(p + *last, word, size)) {
        const uint8_t *found = memmem(p, end - p, word, size);
        if (!found) return NULL;
        *last = found - p;
    }
    return p + *last + size;
}

/* Take the message at p, and return where it can end at the earliest. */
static const uint8_t *take_message(struct connection *c, const uint8_t *p, const uint8_t *end) {
    static size_t seq_at, text_at;
    const uint8_t *text = NULL, *seq = find(p, end, "\"seq\":", &seq_at);
    long value = 0;
    if (seq) {
        while (seq < end && *seq >= '0' && *seq <= '9') value = value * 10 + *seq++ - '0';
        text = find(seq, end, "\"text\":\"", &text_at);
    }
    if (!text) {
        broken++;
        return end;
    }
    if (c->last_seq && value != c->last_seq + 1) broken++;
    c->last_seq = value;
    messages++;
    c->messages++;
    if (warm_messages && c->messages == warm_messages) warmed++;
    if (c->messages == warm_messages + expect_messages) complete++;
    if (*text == '@' && latencies < MAX_LATENCIES) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        long said = number(text + 1, text + 20 < end ? text + 20 : end);
        long late = t.tv_sec * 1000000000L + t.tv_nsec - said;
        latency[latencies++] = late < 0 ? 0 : late > UINT32_MAX ? UINT32_MAX : late;
    }
    return text;
}

static void take_frame(struct connection *c, const uint8_t *p, size_t size) {
    const uint8_t *end = p + size;
    frames++;
    if (!c->ready && ready_text && memmem(p, size, ready_text, strlen(ready_text))) now_ready(c);
    if (size >= sizeof SNAPSHOT - 1 && !memcmp(p, SNAPSHOT, sizeof SNAPSHOT - 1)) return;
    if (!many) {
        static size_t at;
        p = find(p, p + (size < 64 ? size : 64), MESSAGE, &at);
        if (p) take_message(c, p, end);
        return;
    }
    while ((p = memmem(p, end - p, MESSAGE, sizeof MESSAGE - 1))) p = take_message(c, p, end);
}

static void take(struct connection *c) {
    uint8_t *p = buffer, *end;
    memcpy(buffer, c->carry, c->carried);
    ssize_t got = recv(c->fd, buffer + c->carried, CHUNK, 0);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN) return;
        closed_early++;
        close(c->fd);
        return;
    }
    reads++;
    bytes += got;
    end = buffer + c->carried + got;
    if (c->phase == 1) {
        p = memmem(buffer, end - buffer, "\r\n\r\n", 4);
        if (p) {
            if (memcmp(buffer, "HTTP/1.1 101", 12)) {
                fprintf(stderr, "refused: %.*s\n", (int)(end - buffer), (char *)buffer);
                exit(1);
            }
            p += 4;
            c->phase = 2;
            for (int i = 0; i < hellos; i++) send_text(c->fd, hello[i]);
            if (!ready_text) now_ready(c);
        } else {
            p = buffer;
        }
    }
    while (c->phase == 2 && end - p >= 2) {
        size_t head = 2, size = p[1] & 127;
        if (size >= 126) {
            size_t more = size == 126 ? 2 : 8;
            if (end - p < (ssize_t)(2 + more)) break;
            size = 0;
            for (size_t i = 0; i < more; i++) size = size << 8 | p[2 + i];
            head += more;
        }
        if (end - p < (ssize_t)(head + size)) break;
        if ((p[0] & 15) < 8) take_frame(c, p + head, size);
        if ((p[0] & 15) == 9) send_all(c->fd, "\x8a\x80\0\0\0\0", 6); /* to a ping, a pong */
        p += head + size;
    }
    c->carried = end - p;
    if (c->carried > BUFFER - CHUNK) die("frame too large");
    if (c->carried) {
        c->carry = realloc(c->carry, c->carried);
        memcpy(c->carry, p, c->carried);
    }
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words) {
    int together = 64, announced = 0, warming;
    if (count < 4) return 2;
    port = atoi(words[1]);
    path[paths++] = words[2];
    wanted = atoi(words[3]);
    for (int i = 4; i < count; i++) {
        if (!strcmp(words[i], "--many")) many = 1;
        else if (i + 1 == count) return 2;
        else if (!strcmp(words[i], "--subprotocol")) subprotocol = words[++i];
        else if (!strcmp(words[i], "--hello")) hello[hellos++] = words[++i];
        else if (!strcmp(words[i], "--ready")) ready_text = words[++i];
        else if (!strcmp(words[i], "--path") && paths < MAX_PATHS) path[paths++] = words[++i];
        else if (!strcmp(words[i], "--warm")) warm_messages = atol(words[++i]);
        else if (!strcmp(words[i], "--expect")) expect_messages = atol(words[++i]);
        else if (!strcmp(words[i], "--together")) together = atoi(words[++i]);
        else return 2;
    }
    all = calloc(wanted, sizeof *all);
    buffer = malloc(BUFFER);
    latency = malloc(MAX_LATENCIES * sizeof *latency);
    epoll_fd = epoll_create1(0);
    struct epoll_event in = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &in);
    double began = now(CLOCK_MONOTONIC), busy = 0, first = 0, last = 0;
    while (opened < wanted && opened < together) open_next();
    warming = warm_messages > 0;
    for (int stopped = 0; !stopped && !(expect_messages && complete == wanted);) {
        if (!announced && ready == wanted) {
            announced = 1;
            last = now(CLOCK_MONOTONIC);
            printf("ready {\"seconds\": %.6f, \"bytes\": %ld}\n", last - began, bytes);
            fflush(stdout);
            busy = now(CLOCK_PROCESS_CPUTIME_ID);
            bytes = reads = frames = 0;
        }
        if (warming && warmed == wanted) {
            warming = 0;
            printf("warm\n");
            fflush(stdout);
            busy = now(CLOCK_PROCESS_CPUTIME_ID);
            first = last = 0;
            messages = latencies = bytes = reads = frames = 0;
            /* What comes next is another run's: its seqs begin anew. */
            for (int i = 0; i < wanted; i++) all[i].last_seq = 0;
        }
        long before = messages;
        int n = epoll_wait(epoll_fd, events, 256, 20000);
        if (!n && expect_messages) stopped = 1;
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            char line[64];
            if (!c && read(0, line, sizeof line) > 0) stopped = 1;
            else if (!c) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, 0, NULL);
            else if (c->phase == 0) ask(c);
            else take(c);
        }
        if (messages != before) {
            last = now(CLOCK_MONOTONIC);
            if (!first) first = last;
        }
    }
    busy = now(CLOCK_PROCESS_CPUTIME_ID) - busy;
    qsort(latency, latencies, sizeof *latency, by_size);
    printf("{\"ready\": %d, \"messages\": %ld, \"complete\": %d, \"broken\": %ld, \"closed\": %d,"
           " \"frames\": %ld, \"bytes\": %ld, \"reads\": %ld, \"seconds\": %.6f, \"cpu\": %.6f",
           ready, messages, complete, broken, closed_early, frames, bytes, reads, last - first, busy);
    if (latencies)
        printf(", \"p50\": %.6f, \"p99\": %.6f, \"max\": %.6f", latency[latencies / 2] / 1e9,
               latency[latencies - 1 - latencies / 100] / 1e9, latency[latencies - 1] / 1e9);
    printf("}\n");
    return 0;
}
