//! Lines of predictd's own log that deserve more than themselves.

use super::Row;
use crate::doctor::onnxruntime::INSTALL;

pub(super) const ROWS: &[Row] = &[
    Row {
        has: &["the peer speaks TLS"],
        what: "somebody speaks TLS to predictd, which leaves that to nginx",
        why: "https:// or suwsgi:// in nginx's pass directive, or a browser that was sent to predictd's own address.",
        fix: "proxy_pass http://predictd;   # or uwsgi_pass predictd;",
    },
    Row {
        has: &["PROXY protocol header"],
        what: "the front end sends a PROXY protocol header",
        why: "predictd does not read it: the client's address comes as REMOTE_ADDR or X-Forwarded-For.",
        fix: "proxy_protocol off;   # HAProxy: no send-proxy on the server line",
    },
    Row {
        has: &["the peer speaks HTTP/2 without TLS"],
        what: "somebody speaks HTTP/2 to predictd",
        why: "grpc_pass, or a client with prior knowledge. predictd speaks HTTP/1.1.",
        fix: "proxy_http_version 1.1;",
    },
    Row {
        has: &["and the socket takes", "(`wires`)"],
        what: "the pass directive speaks a protocol that `wires` leaves out",
        why: "predictd could, and was told not to.",
        fix: "wires = [\"uwsgi\", \"fastcgi\", \"http\"]   # or the pass directive that the line names",
    },
    Row {
        has: &["a first byte of", "is none of uwsgi, FastCGI or HTTP"],
        what: "somebody speaks a protocol that predictd does not know",
        why: "A uwsgi modifier other than 0 (uwsgi_modifier1), or another program's client on the wrong port.",
        fix: "uwsgi_modifier1 0;",
    },
    Row {
        has: &["unavailable modifier requested"],
        what: "a uwsgi packet asks for a plugin",
        why: "Only modifier 0, a request, and 100, a ping, exist here; 30 and the like are of uWSGI's plugins.",
        fix: "uwsgi_modifier1 0;",
    },
    Row {
        has: &["a run is stuck"],
        what: "a model's run did not end, not even when told to",
        why: "Its callers had their 504 at the deadline. The model is closed, 503, until the run ends; all others are served. \
              The line names model, worker, core and requests.",
        fix: "predictd reload   # a fresh copy of the model; then look at the input of the named requests",
    },
    Row {
        has: &["a run is slow"],
        what: "a run is over workers.slow_after",
        why: "Another thread takes its worker's place meanwhile, so that the others do not wait. Nothing is wrong if the model \
              is just large.",
        fix: "slow_after = \"1s\"   # in [workers], if such runs are normal; or threads, for shorter ones",
    },
    Row {
        has: &["it is closed: worker"],
        what: "the model is closed, since a run of it is stuck",
        why: "Requests to it are 503 until that run ends or the model is loaded again.",
        fix: "predictd reload",
    },
    Row {
        has: &["this process cannot go on"],
        what: "so many runs are stuck that the process ends itself",
        why: "workers.max_stuck is reached: their threads and memory come back only with a new process, which systemd starts.",
        fix: "Restart=on-failure   # in the systemd unit",
    },
    Row {
        has: &["connections are in use; others wait"],
        what: "limits.connections is reached",
        why: "The next ones wait in the kernel's queue, and are refused when that is full: nginx's (11: Resource temporarily \
              unavailable).",
        fix: "connections = 16384   # in [limits], with LimitNOFILE above it; or fewer keepalive connections",
    },
    Row {
        has: &["wait to be accepted at"],
        what: "the kernel's queue of connections is nearly full",
        why: "They come faster than they are accepted: limits.connections is reached, or the machine has no time. The next               ones are refused: nginx's (11: Resource temporarily unavailable).",
        fix: "backlog = 4096   # in [socket]; net.core.somaxconn bounds it",
    },
    Row {
        has: &["there are for them; others are refused"],
        what: "limits.in_flight is reached",
        why: "The bodies of all requests under way are held in memory, up to that; more are 503 with Retry-After.",
        fix: "in_flight = \"2GiB\"   # in [limits], if the machine has it; or smaller bodies",
    },
    Row {
        has: &["cannot accept a connection", "Too many open files"],
        what: "predictd may not open more files",
        why: "Each connection is one: the limit is below limits.connections.",
        fix: "LimitNOFILE=65536   # in the systemd unit",
    },
    Row {
        has: &["gave no answer within"],
        what: "a request was over its model's deadline",
        why: "Its caller got 504 at that moment. The model is slower than its deadline, or waited behind others.",
        fix: "deadline = \"60s\"   # in model.toml; nginx's read timeout must be above it",
    },
    Row {
        has: &["queue", "is full"],
        what: "a model's queue is full",
        why: "More comes in than its workers can do; the caller gets 503 with Retry-After at once instead of waiting.",
        fix: "queue = 1024   # in [batch] of model.toml; or more cores, or larger batches",
    },
    Row {
        has: &["the client went away"],
        what: "a client did not wait for its answer",
        why: "Its work was dropped, as it should be. Many of them: a timeout of the client's, or of nginx, is shorter than the \
              model needs.",
        fix: "uwsgi_read_timeout 60s;   # above the longest deadline",
    },
    Row {
        has: &["another server answers there"],
        what: "somebody listens on the address already",
        why: "Another predictd, most likely: a live socket is never taken.",
        fix: "systemctl stop predictd   # or listen elsewhere",
    },
    Row {
        has: &["ONNX Runtime's library is nowhere to be found"],
        what: "there is no ONNX Runtime",
        why: "It is a library of its own, and predictd opens it when it starts.",
        fix: INSTALL,
    },
    Row {
        has: &["requests are run one by one"],
        what: "a model's requests do not share runs",
        why: "A trial has shown that its rows are not independent of each other, or its first dimension is not free.",
        fix: "max_rows = 1   # in [batch] of model.toml says so without a trial",
    },
    Row {
        has: &["the warm-up failed"],
        what: "a model could not be run with made-up input",
        why: "It may need real input, or rows of a certain size; it is served all the same.",
        fix: "rows = []   # in [warmup] of model.toml",
    },
    Row {
        has: &["limits.drain", "has passed"],
        what: "the server ended before all was answered",
        why: "What was still under way after limits.drain was cancelled.",
        fix: "drain = \"60s\"   # in [limits], with TimeoutStopSec above it",
    },
    Row {
        has: &["cannot be pinned"],
        what: "a worker could not be put on its core",
        why: "The core is not among those that this process may use: a container's cpuset.",
        fix: "pin = \"auto\"   # in [workers], or \"off\"",
    },
    Row {
        has: &["connection closed:", "fastcgi"],
        what: "a FastCGI client broke the protocol",
        why: "The line says how. It is not nginx, or not FastCGI.",
        fix: "predictd nginx --wire fastcgi   # the block that fits",
    },
    Row {
        has: &["refused:", "status="],
        what: "a request was refused before any model saw it",
        why: "The line says why: too large a head or body, too slow, or not to be read. Its caller got the status.",
        fix: "predictd nginx   # the limits that fit",
    },
];
