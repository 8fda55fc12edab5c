//! nginx in a temporary folder: with the configuration that we ship, or with any other.

use super::{PATIENCE, Process, Reply, Server, anyone_by_http, free_port, program, read};
use std::{fs, net::TcpStream, path::Path, process::Command};
use tempfile::TempDir;

/// How nginx passes requests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Uwsgi,
    FastCgi,
    /// As [`FastCgi`](Self::FastCgi), but a connection for each request.
    FastCgiOnce,
    Http,
}

/// A running nginx, ended on drop.
pub(crate) struct Nginx {
    pub(crate) url: String,
    pub(crate) process: Process,
    pub(crate) folder: TempDir,
}

impl Nginx {
    pub(crate) fn before(server: &Server) -> Self {
        Self::by(server, Pass::Uwsgi)
    }

    pub(crate) fn by(server: &Server, pass: Pass) -> Self {
        Self::with(server, pass, "")
    }

    /// Before whoever listens on `socket`.
    pub(crate) fn to(socket: &Path, pass: Pass) -> Self {
        Self::shipped(socket, pass, "", |shipped| shipped)
    }

    /// The same with more configuration for its `server` block.
    pub(crate) fn with(server: &Server, pass: Pass, more: &str) -> Self {
        Self::edited(server, pass, more, |shipped| shipped)
    }

    /// The same with the shipped file changed.
    pub(crate) fn edited(
        server: &Server,
        pass: Pass,
        more: &str,
        edit: impl FnOnce(String) -> String,
    ) -> Self {
        Self::shipped(&server.socket(), pass, more, edit)
    }

    fn shipped(socket: &Path, pass: Pass, more: &str, edit: impl FnOnce(String) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let (file, keepalive) = match pass {
            Pass::Uwsgi => ("uwsgi.conf", ""),
            Pass::FastCgi => ("fastcgi.conf", "keepalive 128;"),
            Pass::FastCgiOnce => ("fastcgi.conf", ""),
            Pass::Http => ("http.conf", "keepalive 128;"),
        };
        let mut text = String::from_utf8(read(&format!("nginx/{file}"))).unwrap();
        if pass == Pass::FastCgiOnce {
            let kept = "fastcgi_keep_conn on;";
            assert!(text.contains(kept));
            text = text.replace(kept, "");
        }
        fs::write(folder.path().join(file), edit(text)).unwrap();
        let http = format!(
            "upstream predictd {{ server unix:{}; {keepalive} }}
            server {{
                listen 127.0.0.1:{port};
                {more}
                include {file};
            }}",
            socket.display()
        );
        Self::start(folder, port, &http, None)
    }

    /// With this in its `http` block, which listens on `port`; as `user`, which takes root, or as ourselves.
    pub(crate) fn start(folder: TempDir, port: u16, http: &str, user: Option<&str>) -> Self {
        let config = format!(
            "daemon off;
            master_process off;
            pid nginx.pid;
            error_log stderr info;
            events {{ worker_connections 1024; }}
            http {{
                access_log off;
                client_body_temp_path tmp_body;
                proxy_temp_path tmp_proxy;
                fastcgi_temp_path tmp_fastcgi;
                uwsgi_temp_path tmp_uwsgi;
                scgi_temp_path tmp_scgi;
                {http}
            }}"
        );
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        copy_params(folder.path());
        let mut command = Command::new(program("nginx"));
        if let Some(user) = user {
            command = Command::new(program("setpriv"));
            command.args(["--reuid", user, "--regid", "nogroup", "--clear-groups"]).arg(program("nginx"));
        }
        command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
        let mut process = Process::start(command);
        process.wait_until_it_listens(port);
        Self { url: format!("http://127.0.0.1:{port}"), process, folder }
    }

    /// Asks predictd by HTTP, on a connection of its own.
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.ask_anyone(method, target, headers, body).checked()
    }

    /// The same where nginx itself may answer.
    pub(crate) fn ask_anyone(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let address = self.url.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        anyone_by_http(stream, method, target, &[&[("Host", address)], headers].concat(), body)
    }
}

/// What nginx's packages put beside its configuration.
pub(crate) fn copy_params(folder: &Path) {
    for params in ["uwsgi_params", "fastcgi_params"] {
        fs::copy(Path::new("/etc/nginx").join(params), folder.join(params)).unwrap();
    }
}
