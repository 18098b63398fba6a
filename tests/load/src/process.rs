//! What `/proc` tells of this process and of the server: processor time, memory, and who listens on an address.
//!
//! Processor time is user and system time in clock ticks (proc(5)), usually of 10 ms: a run has to take a second or more
//! before the microseconds per request mean something.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::Path,
    process,
    time::Duration,
};

/// Where the server of a run spends its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// A process of its own, with the workers that it has started.
    Process(u32),
    /// The threads of this process that have this name, at most 15 bytes of it.
    Threads(&'static str),
}

/// Processor time used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) client: Duration,
    pub(crate) server: Option<Duration>,
}

/// Reads both sides' processor time.
///
/// # Errors
///
/// When `/proc` cannot be read, for instance because the server ended.
pub(crate) fn usage(server: Option<Server>) -> io::Result<Usage> {
    let own = cpu(Path::new("/proc/self/stat"))?;
    Ok(match server {
        None => Usage { client: own, server: None },
        Some(Server::Process(pid)) => {
            let mut server = cpu(&proc_file(pid, "stat"))?;
            for worker in children(pid)? {
                // One that ended meanwhile takes what it used out of the sum.
                server += cpu(&proc_file(worker, "stat")).unwrap_or_default();
            }
            Usage { client: own, server: Some(server) }
        }
        Some(Server::Threads(name)) => {
            let threads = threads(name)?;
            Usage { client: own.saturating_sub(threads), server: Some(threads) }
        }
    })
}

/// Resident bytes of the server; of the whole process where the server is a part of this one.
///
/// # Errors
///
/// When `/proc` cannot be read.
pub(crate) fn resident_bytes(server: Server) -> io::Result<u64> {
    let pid = match server {
        Server::Process(pid) => pid,
        Server::Threads(_) => process::id(),
    };
    let workers = match server {
        Server::Process(_) => children(pid)?,
        Server::Threads(_) => Vec::new(),
    };
    let of_workers: u64 = workers.into_iter().filter_map(|worker| resident(worker).ok()).sum();
    Ok(resident(pid)? + of_workers)
}

fn resident(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(proc_file(pid, "status"))?;
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim_end().parse::<u64>().ok());
    kibibytes.map(|number| number << 10).ok_or_else(|| io::Error::other("no VmRSS in /proc/PID/status"))
}

/// The processes that a process has started and that still run.
fn children(pid: u32) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(other) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // Processes end while they are looked at.
        let stat = fs::read_to_string(proc_file(other, "stat")).unwrap_or_default();
        // The parent is field 4: the second behind the command.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1));
        if parent.and_then(|parent| parent.parse::<u32>().ok()) == Some(pid) {
            found.push(other);
        }
    }
    Ok(found)
}

/// The process that listens on a TCP address of this machine; `None` when it cannot be seen.
///
/// # Errors
///
/// When `/proc` cannot be read.
pub(crate) fn listener(address: SocketAddr) -> io::Result<Option<u32>> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let Some(inode) = tables.iter().find_map(|table| listening_inode(table, address)) else { return Ok(None) };
    let link = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // Processes of other users, and those that end meanwhile, cannot be read; they are not ours to measure.
        let Ok(files) = fs::read_dir(entry.path().join("fd")) else { continue };
        if files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == link.as_str()))
        {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// Finds the socket in state LISTEN in a table of `/proc/net`.
fn listening_inode(table: &str, address: SocketAddr) -> Option<u64> {
    let port = format!("{:04X}", address.port());
    // The kernel prints each 32-bit word of an address as a number of the host's byte order.
    let word = |bytes: &[u8]| match bytes {
        [a, b, c, d] => format!("{:08X}", u32::from_ne_bytes([*a, *b, *c, *d])),
        _ => String::new(),
    };
    let host = match address.ip() {
        IpAddr::V4(ip) => word(&ip.octets()),
        IpAddr::V6(ip) => ip.octets().chunks(4).map(word).collect(),
    };
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (local_host, local_port) = fields.get(1)?.split_once(':')?;
        let any = local_host.bytes().all(|digit| digit == b'0');
        let listens = fields.get(3) == Some(&"0A") && local_port == port && (any || local_host == host);
        listens.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

/// The time of all threads with this name.
fn threads(name: &str) -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for entry in fs::read_dir("/proc/self/task")? {
        let path = entry?.path();
        // A thread may end between the two reads; what it used is lost to this sum then.
        if fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name) {
            total += cpu(&path.join("stat")).unwrap_or_default();
        }
    }
    Ok(total)
}

fn cpu(path: &Path) -> io::Result<Duration> {
    let stat = fs::read_to_string(path)?;
    let ticks = cpu_ticks(&stat).ok_or_else(|| io::Error::other(format!("{}: not as proc(5) says", path.display())))?;
    Ok(Duration::from_secs_f64(ticks as f64 / ticks_a_second()))
}

/// `utime` and `stime`, fields 14 and 15. The command in field 2 may contain anything, so counting begins behind it.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// `AT_CLKTCK` of the auxiliary vector (getauxval(3)); 100 on every usual Linux.
fn ticks_a_second() -> f64 {
    const AT_CLKTCK: usize = 17;
    const WORD: usize = size_of::<usize>();
    let vector = fs::read("/proc/self/auxv").unwrap_or_default();
    let number = |bytes: &[u8]| <[u8; WORD]>::try_from(bytes).map(usize::from_ne_bytes).ok();
    let found = vector.chunks_exact(2 * WORD).find_map(|entry| {
        let (kind, value) = entry.split_at_checked(WORD)?;
        number(value).filter(|_| number(kind) == Some(AT_CLKTCK))
    });
    found.map_or(100.0, |ticks| ticks as f64)
}

fn proc_file(pid: u32, name: &str) -> std::path::PathBuf {
    Path::new("/proc").join(pid.to_string()).join(name)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread, time::Instant};

    use super::*;

    #[test]
    fn the_times_are_found_behind_a_command_of_any_name() {
        let stat = "42 (a) b (c 7) S 1 42 42 0 -1 4194304 900 0 3 0 1234 56 7 8 20 0 9 0 1000 1 2";
        assert_eq!(cpu_ticks(stat), Some(1290));
        assert_eq!(cpu_ticks("42 (short) S 1 2"), None);
        assert_eq!(cpu_ticks(""), None);
    }

    #[test]
    fn a_busy_thread_is_counted_by_its_name_and_not_as_the_client() {
        let name = "busy-for-a-test";
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut turns = 0_u64;
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                turns = std::hint::black_box(turns + 1);
            }
        });
        let thread = thread.unwrap();
        let begun = Instant::now();
        let enough = Duration::from_millis(200);
        let server = || usage(Some(Server::Threads(name))).unwrap().server.unwrap();
        while server() < enough && begun.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(20));
        }
        assert!(server() >= enough, "{:?}", server());
        assert!(server() <= begun.elapsed() + Duration::from_millis(20), "{:?} in {:?}", server(), begun.elapsed());
        let of_process = usage(Some(Server::Process(process::id()))).unwrap();
        assert!(of_process.server.unwrap() >= enough);
        stop.send(()).unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn the_listener_on_a_port_is_found() {
        for host in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let mut address = listener.local_addr().unwrap();
            if address.ip().is_unspecified() {
                address.set_ip(IpAddr::from([127, 0, 0, 1]));
            }
            assert_eq!(super::listener(address).unwrap(), Some(process::id()), "{host}");
            drop(listener);
            assert_eq!(super::listener(address).unwrap(), None, "{host}");
        }
    }

    #[test]
    fn only_sockets_that_listen_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1640 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 7001 1 0\n\
             1: 0100007F:1640 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 7002 1 0\n";
        if cfg!(target_endian = "little") {
            assert_eq!(listening_inode(table, "127.0.0.1:5696".parse().unwrap()), Some(7002));
        }
        assert_eq!(listening_inode(table, "127.0.0.2:5696".parse().unwrap()), None);
        assert_eq!(listening_inode(table, "127.0.0.1:5697".parse().unwrap()), None);
    }

    #[test]
    fn the_workers_of_a_process_are_found() {
        let mut worker = process::Command::new("sleep").arg("600").spawn().unwrap();
        assert!(children(process::id()).unwrap().contains(&worker.id()));
        worker.kill().unwrap();
        worker.wait().unwrap();
    }

    #[test]
    fn memory_is_read() {
        assert!(resident_bytes(Server::Process(process::id())).unwrap() > 1 << 20);
        assert!(resident_bytes(Server::Process(u32::MAX)).is_err());
    }
}
