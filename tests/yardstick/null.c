/* A uwsgi server that does nothing: accept, read once, write a fixed answer, close. The yardstick of `make bench`.
 *
 *     null SOCKET ANSWER     the file ANSWER holds the whole answer, head and body
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static char request[65536], answer[65536];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    FILE *file = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (!file || strlen(argv[1]) >= sizeof address.sun_path) {
        fputs("usage: null SOCKET ANSWER\n", stderr);
        return 64;
    }
    size_t length = fread(answer, 1, sizeof answer, file);
    fclose(file);
    strcpy(address.sun_path, argv[1]);

    /* A client that went away is no reason to end, and nginx to answer quick 502s. */
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    unlink(argv[1]);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror(argv[1]);
        return 69;
    }
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        if (peer < 0)
            continue;
        if (read(peer, request, sizeof request) > 0 && write(peer, answer, length) < 0) {
            /* Gone. */
        }
        close(peer);
    }
}
