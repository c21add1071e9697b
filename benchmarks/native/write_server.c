/*
 * The reference: a WebSocket server that does one write(fd, frame) a delivery and nothing else.
 *
 * It speaks the protocol of the peers: prints `port N`, then obeys lines `MODE COUNT GAP` from stdin (GAP in ms,
 * between the messages of the mode `lone`).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_VIEWERS 8192

static int viewers[MAX_VIEWERS], count;
static long seq;

/* Returns 0 when the viewer is gone. */
static int write_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t done = write(fd, data, size);
        if (done <= 0) return 0;
        data += done;
        size -= done;
    }
    return 1;
}

static void welcome(int listener) {
    char request[4096];
    int fd = accept(listener, NULL, NULL), one = 1;
    size_t size = 0;
    if (fd < 0 || count == MAX_VIEWERS) exit(1);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    do {
        ssize_t got = read(fd, request + size, sizeof request - size);
        if (got <= 0) exit(1);
        size += got;
    } while (!memmem(request, size, "\r\n\r\n", 4));
    const char *reply = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\n\r\n";
    write_all(fd, reply, strlen(reply));
    viewers[count++] = fd;
}

static void publish(const char *filler) {
    char frame[1024], ts[64], *json = frame + 4;
    struct timespec t, wall;
    clock_gettime(CLOCK_MONOTONIC, &t);
    clock_gettime(CLOCK_REALTIME, &wall);
    struct tm day;
    gmtime_r(&wall.tv_sec, &day);
    strftime(ts, sizeof ts, "%Y-%m-%dT%H:%M:%S", &day);
    int size = snprintf(json, sizeof frame - 4,
                        "{\"type\":\"run.output\",\"runId\":\"0123456789abcdef0123\","
                        "\"projectId\":\"bench-012345\",\"seq\":%ld,\"ts\":\"%s.%03ldZ\","
                        "\"stream\":\"stdout\",\"text\":\"@%019ld %s\"}",
                        ++seq, ts, wall.tv_nsec / 1000000, t.tv_sec * 1000000000L + t.tv_nsec, filler);
    frame[0] = (char)0x81;
    frame[1] = 126;
    frame[2] = (char)(size >> 8);
    frame[3] = (char)size;
    for (int i = 0; i < count; i++) {
        if (write_all(viewers[i], frame, size + 4)) continue;
        close(viewers[i]);
        viewers[i--] = viewers[--count];
    }
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), loop = epoll_create1(0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1024)) return 1;
    getsockname(listener, (void *)&address, &length);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    char filler[101];
    memset(filler, 'x', 100);
    filler[100] = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = 0;
    epoll_ctl(loop, EPOLL_CTL_ADD, 0, &event);
    for (;;) {
        if (epoll_wait(loop, &event, 1, -1) < 1) continue;
        if (event.data.fd == listener) {
            welcome(listener);
            continue;
        }
        char line[128], mode[32];
        long messages, gap = 0;
        ssize_t got = read(0, line, sizeof line - 1);
        if (got <= 0) return 0;
        line[got] = 0;
        if (sscanf(line, "%31s %ld %ld", mode, &messages, &gap) < 2) return 2;
        for (long i = 0; i < messages; i++) {
            publish(filler);
            if (!strcmp(mode, "lone")) usleep(gap * 1000);
        }
    }
}
