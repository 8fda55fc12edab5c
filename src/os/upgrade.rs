//! From one process to the next on the same sockets: the new program is started beside the old one, gets its sockets, and
//! takes over when it is ready; the old one goes on if that never happens.
//!
//! The two have a pair of sockets between them, which the new one finds as its standard input. Descriptors travel in its
//! first message, so that none has to be open to every child, and no number has to be agreed on: which is what lets the
//! standard library start the program without a fork of all our memory. Then the new one says that it is ready, and the old
//! one that it has let go. The end of either is seen by the other as the end of the channel.

use super::{
    process,
    socket::{Handed, Inherited, SocketFile},
    systemd,
};
use rustix::{
    io::Errno,
    net::{
        self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sockopt,
    },
};
use std::{
    env,
    ffi::OsString,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Tells the new process that it is one, by the number of the old.
const VARIABLE: &str = "PREDICTD_UPGRADE_FROM";

/// As many descriptors as one message takes: unix(7), SCM_RIGHTS.
const SOCKETS_MAX: usize = 253;

/// Bytes of the message that says which socket is which.
const NAMES_MAX: usize = 128 * 1024;

const READY: &[u8] = b"ready";
const YOURS: &[u8] = b"yours";

/// How a socket of the message is described: its address, and the path, device and inode of its file if there is one.
type Name = (String, Option<(PathBuf, u64, u64)>);

/// What this process was given by whoever started it.
#[derive(Debug, Default)]
pub struct Handover {
    /// Sockets that listen already.
    pub sockets: Inherited,
    /// The process that we are to replace.
    pub predecessor: Option<Predecessor>,
}

impl Handover {
    /// Takes it, from the process that we are to replace, or from systemd.
    ///
    /// To be called first thing in `main`.
    ///
    /// # Errors
    /// Where it cannot be understood.
    pub fn take() -> io::Result<Self> {
        let systemd = systemd::inherited();
        let [from] = process::take_variables([VARIABLE]);
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
        if from.is_none() || from != parent {
            return Ok(Self { sockets: Inherited::new(systemd), predecessor: None });
        }
        let channel = io::stdin().as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        let handed = receive(&channel)?;
        Ok(Self { sockets: Inherited::new(handed), predecessor: Some(Predecessor { channel }) })
    }
}

/// The process that we are to replace.
#[derive(Debug)]
pub struct Predecessor {
    channel: OwnedFd,
}

impl Predecessor {
    /// Says that we are ready, and waits until it has let go, which it does at once: or is gone, then all is ours as well.
    pub fn relieve(self) {
        let said = net::send(&self.channel, READY, SendFlags::NOSIGNAL);
        // It may be busy for a moment. If it hangs, there has to be a server all the same.
        let _ =
            sockopt::set_socket_timeout(&self.channel, sockopt::Timeout::Recv, Some(Duration::from_secs(3)));
        let answered = said.and_then(|_| receive_word(&self.channel));
        if !matches!(&answered, Ok(word) if word == YOURS) {
            tracing::warn!(
                "the process before us is gone, or does not answer ({answered:?}): taking over from it"
            );
        }
    }
}

/// The process that is to replace us; killed on drop unless it has taken over.
#[derive(Debug)]
pub struct Successor {
    child: Child,
    channel: OwnedFd,
    relieved: bool,
}

impl Successor {
    /// Starts the program that is now at the place where ours was, with the same arguments and these sockets.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(sockets: &[Handed]) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (channel, theirs) = net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::io::ioctl_fionbio(&theirs, false)?;
        // Before there is anybody to read it: the channel keeps it.
        send(&channel, sockets)?;
        let mut arguments = env::args_os();
        let named = arguments.next().unwrap_or_else(|| OsString::from("predictd"));
        let mut command = Command::new(program(named));
        command.args(arguments).env(VARIABLE, std::process::id().to_string());
        // Who is not told otherwise takes the watchdog for its own.
        command.env_remove("WATCHDOG_PID");
        command.stdin(Stdio::from(theirs));
        Ok(Self { child: command.spawn()?, channel, relieved: false })
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Non-blocking; readable when [`is_ready`](Self::is_ready) has an answer.
    #[must_use]
    pub fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Whether it is ready to serve: not yet known (`WouldBlock`), yes, or never.
    ///
    /// # Errors
    /// As the kernel has it.
    pub fn is_ready(&self) -> io::Result<bool> {
        Ok(receive_word(&self.channel)? == READY)
    }

    /// Tells it that everything is its own from now on.
    pub fn let_go(&mut self) {
        self.relieved = true;
        // Where it cannot be told, it is about to see that we are gone.
        let _ = net::send(&self.channel, YOURS, SendFlags::NOSIGNAL);
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.relieved {
            // It has answered nobody yet, so that nothing is lost. It is not asked to end: that could take as long as a model
            // takes to load.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// As we were called, so that a link to the newest version is followed anew; the file itself where that leads nowhere.
fn program(named: OsString) -> OsString {
    let is_path = named.as_encoded_bytes().contains(&b'/');
    if !is_path || PathBuf::from(&named).exists() {
        return named;
    }
    match env::current_exe() {
        Ok(file) => {
            let text = file.into_os_string().into_string();
            text.map_or(named, |text| text.trim_end_matches(" (deleted)").to_owned().into())
        }
        Err(_) => named,
    }
}

fn send(channel: &OwnedFd, sockets: &[Handed]) -> io::Result<()> {
    if sockets.len() > SOCKETS_MAX {
        return Err(io::Error::other(format!("at most {SOCKETS_MAX} sockets can be handed over")));
    }
    let named = |handed: &Handed| {
        let file = handed.file.as_ref().map(|file| (file.path.clone(), file.device, file.inode));
        (handed.address.to_string(), file)
    };
    let names: Vec<Name> = sockets.iter().map(named).collect();
    let text = serde_json::to_vec(&names)?;
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|handed| handed.fd.as_fd()).collect();
    let message = SendAncillaryMessage::ScmRights(&descriptors);
    let mut space = vec![MaybeUninit::uninit(); message.size()];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(message) {
        return Err(Errno::NOBUFS.into());
    }
    net::sendmsg(channel, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(channel: &OwnedFd) -> io::Result<Vec<Handed>> {
    let mut text = vec![0; NAMES_MAX];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // It was sent before we were started.
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = net::recvmsg(channel, &mut [IoSliceMut::new(&mut text)], &mut control, flags)?;
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    let names: Vec<Name> = serde_json::from_slice(&text[..received.bytes])?;
    if names.len() != descriptors.len() {
        let (said, came) = (names.len(), descriptors.len());
        return Err(io::Error::other(format!("{said} sockets were to be handed over, {came} came")));
    }
    let handed = |((address, file), fd): (Name, OwnedFd)| {
        let file = file.map(|(path, device, inode)| SocketFile { path, device, inode });
        Ok(Handed { address: address.parse().map_err(io::Error::other)?, fd, file })
    };
    names.into_iter().zip(descriptors).map(handed).collect()
}

/// One message; the end of the channel is an empty one.
fn receive_word(channel: &OwnedFd) -> rustix::io::Result<Vec<u8>> {
    let mut word = vec![0; 16];
    let (read, _) = rustix::io::retry_on_intr(|| net::recv(channel, &mut word[..], RecvFlags::empty()))?;
    word.truncate(read);
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::socket::{self, Address};
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_keep_their_names_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let unix = Address::Unix(folder.path().join("a b"));
        let addresses =
            [unix.clone(), "127.0.0.1:0".parse().unwrap(), "unix:@predictd-upgrade".parse().unwrap()];
        let bound: Vec<_> = addresses
            .iter()
            .map(|address| socket::bind(address, &socket::Options::default()).unwrap())
            .collect();
        let handed: Vec<Handed> = bound
            .iter()
            .map(|bound| Handed {
                address: bound.requested.clone(),
                fd: bound.fd.try_clone().unwrap(),
                file: bound.claim.file().cloned(),
            })
            .collect();
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        send(&ours, &handed).unwrap();
        let received = receive(&theirs).unwrap();
        assert_eq!(received.len(), 3);
        for (sent, received) in handed.iter().zip(&received) {
            assert_eq!((&sent.address, &sent.file), (&received.address, &received.file));
        }
        assert!(received[0].file.is_some());
        bound.iter().for_each(|bound| bound.claim.give_up());
        drop((bound, handed));
        UnixStream::connect(folder.path().join("a b")).unwrap();
        drop(received);
        assert!(UnixStream::connect(folder.path().join("a b")).is_err());
    }

    #[test]
    fn each_sees_the_end_of_the_other() {
        let pair = || {
            net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::NONBLOCK, None).unwrap()
        };
        let (ours, theirs) = pair();
        assert_eq!(receive_word(&ours), Err(Errno::AGAIN));
        net::send(&theirs, READY, SendFlags::empty()).unwrap();
        drop(theirs);
        assert_eq!(receive_word(&ours).unwrap(), READY);
        assert_eq!(receive_word(&ours).unwrap(), b"");
    }
}
