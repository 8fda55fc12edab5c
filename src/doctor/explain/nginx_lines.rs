//! Lines of nginx's error log about those it passes requests to: each was seen, or stands in its source.

use super::Row;

const BACKLOG: &str = "predictd doctor   # names the queue, somaxconn, and what holds the connections";

pub(super) const ROWS: &[Row] = &[
    Row {
        has: &["failed (2: No such file or directory)", "while connecting to upstream"],
        what: "there is no socket at the path that nginx was given",
        why: "The server is not started, or its socket is elsewhere: compare listen with the pass directive. Clients get 502.",
        fix: "systemctl start predictd   # it makes ADDRESS, if that is its listen",
    },
    Row {
        has: &["failed (13: Permission denied)", "while connecting to upstream"],
        what: "nginx's user may not connect to the socket",
        why: "It needs x on each folder of the path and w on the socket; SELinux may forbid it too. Clients get 502.",
        fix: "usermod -aG predictd www-data && nginx -s reload   # predictd doctor names the folder",
    },
    Row {
        has: &["failed (111: Connection refused)", "while connecting to upstream"],
        what: "nobody listens where nginx connects",
        why: "A Unix socket's file was left by a server that is gone, or nobody has the port. Clients get 502.",
        fix: "systemctl start predictd   # a stale socket is replaced",
    },
    Row {
        has: &["failed (11: Resource temporarily unavailable)", "while connecting to upstream"],
        what: "the server's queue of connections is full",
        why: "The kernel refuses a Unix connection at once when the backlog, the lesser of socket.backlog and \
              net.core.somaxconn, is used up. The server does not accept: all of limits.connections are in use, or it is \
              stopped. Clients get 502.",
        fix: BACKLOG,
    },
    Row {
        has: &["failed (36: File name too long)"],
        what: "the socket's path is longer than the kernel's 107 bytes",
        why: "Nobody can connect there.",
        fix: "listen = [\"unix:/run/predictd/predictd.sock\"]",
    },
    Row {
        has: &["failed (99: Cannot assign requested address)"],
        what: "nginx has no local port left to connect from",
        why: "Too many short TCP connections to one address wait in TIME_WAIT. Clients get 502.",
        fix: "listen = [\"unix:/run/predictd/predictd.sock\"]   # or keepalive in upstream { }",
    },
    Row {
        has: &["bind() to", "failed (98: Address already in use)"],
        what: "nginx cannot listen: another program has the port",
        why: "Often another nginx, or predictd's own listen on the same port.",
        fix: "ss -ltnp   # who has it",
    },
    Row {
        has: &["upstream timed out (110", "while connecting to upstream"],
        what: "no connection within connect_timeout",
        why: "A TCP address that drops packets, or a queue that stays full. A Unix socket connects at once or not at all. \
              Clients get 504.",
        fix: "predictd call --ping ADDRESS",
    },
    Row {
        has: &["upstream timed out (110", "while reading response header from upstream"],
        what: "no answer within nginx's read timeout",
        why: "nginx gave up before the server did, whose own 504 would have named the model: the timeout is not above the \
              longest deadline. Clients get 504.",
        fix: "uwsgi_read_timeout 60s;   # above the longest deadline; predictd nginx prints what fits",
    },
    Row {
        has: &["upstream timed out (110", "while reading upstream"],
        what: "the answer began, and did not go on",
        why: "Between two reads the read timeout passed. From predictd an answer comes whole: another server, or a stopped \
              one. Clients get half an answer.",
        fix: "predictd call --ping ADDRESS   # is it predictd?",
    },
    Row {
        has: &["upstream timed out (110", "while sending request to upstream"],
        what: "the server did not read the request",
        why: "It is stopped, or holds the connection without reading: send_timeout passed. Clients get 504.",
        fix: "predictd call --ping ADDRESS",
    },
    Row {
        has: &["upstream prematurely closed connection while reading response header"],
        what: "the server closed the connection without an answer",
        why: "It was ended (out of memory?), or could not make sense of the request: wrong pass directive, TLS, a modifier. \
              predictd's log has a line of the same second. Clients get 502.",
        fix: "journalctl -u predictd -n 20; dmesg | grep -i oom",
    },
    Row {
        has: &["upstream prematurely closed FastCGI"],
        what: "the FastCGI answer ended before it was complete",
        why: "The server was ended within it, or closed a kept connection. Clients get 502 or half an answer.",
        fix: "journalctl -u predictd -n 20",
    },
    Row {
        has: &["upstream prematurely closed connection while reading upstream"],
        what: "the answer is shorter than its Content-Length",
        why: "The server was ended within it. Clients get half an answer.",
        fix: "journalctl -u predictd -n 20; dmesg | grep -i oom",
    },
    Row {
        has: &["upstream prematurely closed connection while sending request"],
        what: "the server closed the connection while it got the request",
        why: "It was ended, or refused an unbuffered upload before its end. Clients get 502.",
        fix: "uwsgi_request_buffering on;",
    },
    Row {
        has: &["upstream sent too big header"],
        what: "the head of the answer is larger than nginx's buffer",
        why: "Of one page, 4 KiB, unless set. predictd's heads are smaller: the address leads to another server, or one's \
              own handler sets large headers. Clients get 502.",
        fix: "uwsgi_buffer_size 16k; uwsgi_buffers 8 16k;   # fastcgi_, proxy_ likewise",
    },
    Row {
        has: &["upstream sent invalid header"],
        what: "the answer is not of the protocol that nginx expects",
        why: "The pass directive does not fit the server: proxy_pass to a uwsgi server shows bytes like \\x00. predictd \
              itself answers each wire in kind. Clients get 502.",
        fix: "predictd nginx   # the block that fits",
    },
    Row {
        has: &["upstream sent invalid status"],
        what: "the answer's status is no number",
        why: "A server of another protocol, or a handler's own Status header. Clients get 502.",
        fix: "predictd nginx   # the block that fits",
    },
    Row {
        has: &["upstream sent duplicate header line"],
        what: "the answer has a header twice that may be there once",
        why: "A handler sets Content-Length or the like itself. Clients get 502.",
        fix: "predictd call ADDRESS GET / -i   # shows the head",
    },
    Row {
        has: &["upstream sent no valid HTTP/1.0 header"],
        what: "the answer is not HTTP",
        why: "proxy_pass leads to a server that speaks uwsgi or FastCGI only. Clients get 502 or the bytes as they are.",
        fix: "predictd nginx   # the block that fits",
    },
    Row {
        has: &["upstream sent unsupported FastCGI protocol version"],
        what: "the answer is not FastCGI",
        why: "fastcgi_pass leads to a server of another protocol: version 72 is the H of HTTP. Clients get 502.",
        fix: "predictd nginx   # the block that fits",
    },
    Row {
        has: &["upstream sent unexpected FastCGI"],
        what: "the FastCGI server refused the request, or mixed requests up",
        why: "Record 3 before any other is a refusal: overloaded, or an unknown role. predictd answers 503 instead. Clients \
              get 502.",
        fix: "predictd call --wire fastcgi ADDRESS GET /v2/health/ready",
    },
    Row {
        has: &["FastCGI sent in stderr"],
        what: "the FastCGI server wrote an error text",
        why: "predictd never does: the address leads to another server, such as PHP.",
        fix: "predictd call --ping ADDRESS",
    },
    Row {
        has: &["upstream sent more data than specified in \"Content-Length\""],
        what: "the answer is longer than its Content-Length",
        why: "nginx drops the rest. A handler's own Content-Length is wrong; predictd counts itself.",
        fix: "predictd call ADDRESS GET / -i   # shows the head",
    },
    Row {
        has: &["failed (104: Connection reset by peer)"],
        what: "the server closed the connection with something unread",
        why: "It was ended, or closed before it had read the whole request, as uWSGI does with a refusal; predictd reads on. \
              Clients get 502, or the answer if it was there by then.",
        fix: "journalctl -u predictd -n 20",
    },
    Row {
        has: &["failed (32: Broken pipe)", "upstream"],
        what: "the server closed the connection while nginx wrote",
        why: "A refusal in the middle of an unbuffered upload, or the server was ended. Clients get 502.",
        fix: "uwsgi_request_buffering on;",
    },
    Row {
        has: &["uwsgi request is too big"],
        what: "the headers of the request are over 64 KiB",
        why: "A uwsgi packet cannot say more; often cookies. nothing reached predictd, and clients get 500.",
        fix: "large_client_header_buffers 4 16k;   # refuses by 400 or 414 what is larger",
    },
    Row {
        has: &["fastcgi request record is too big"],
        what: "the headers of the request are over 64 KiB",
        why: "nginx sends them in one record, which cannot have more. Nothing reached predictd, and clients get 500.",
        fix: "large_client_header_buffers 4 16k;   # refuses by 400 or 414 what is larger",
    },
    Row {
        has: &["no live upstreams"],
        what: "nginx has marked all servers of the group down",
        why: "After max_fails failures (1 unless set) a server gets nothing for fail_timeout (10 s). With http_503 in \
              next_upstream each full queue counts as one. Clients get 502.",
        fix: "uwsgi_next_upstream error timeout non_idempotent;   # or max_fails=0 for each server",
    },
    Row {
        has: &["upstream server temporarily disabled"],
        what: "nginx has marked a server of the group down, for 10 s",
        why: "It failed, or answered what next_upstream lists: the line before says which.",
        fix: "uwsgi_next_upstream error timeout non_idempotent;   # or max_fails=0 for each server",
    },
    Row {
        has: &["client intended to send too large body"],
        what: "the body is over client_max_body_size",
        why: "1 MiB unless set. nginx answers 413 by itself, and predictd's log has nothing.",
        fix: "client_max_body_size 64m;   # as limits.body; predictd nginx prints what fits",
    },
    Row {
        has: &["a client request body is buffered to a temporary file"],
        what: "an upload went through a file",
        why: "It is over client_body_buffer_size, 16 KiB unless set: slower, and nothing is wrong.",
        fix: "client_body_buffer_size 1m;",
    },
    Row {
        has: &["host not found in upstream"],
        what: "a name in nginx's configuration has no address",
        why: "It is looked up when nginx starts: a missing upstream { } of that name, or DNS.",
        fix: "predictd nginx   # with the upstream { } that the pass directive names",
    },
    Row {
        has: &["SSL_do_handshake() failed", "upstream"],
        what: "nginx speaks TLS to a server that does not",
        why: "https:// or suwsgi:// in the pass directive. predictd's log says: the peer speaks TLS. Clients get 502.",
        fix: "proxy_pass http://predictd;   # or uwsgi_pass predictd;",
    },
    Row {
        has: &["worker_connections are not enough"],
        what: "a worker of nginx has no connection left",
        why: "Each request takes two, to the client and to predictd, and kept ones count.",
        fix: "worker_connections 4096;   # in events { }",
    },
    Row {
        has: &["failed (24: Too many open files)"],
        what: "nginx may not open more files",
        why: "Each connection is one. Clients get no answer, or 500.",
        fix: "worker_rlimit_nofile 65536;   # beside worker_processes",
    },
];
