//! What a process of this machine uses, as the kernel tells it.

use std::io;

/// The kernel counts processor time in hundredths of a second, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Resident memory now, in MiB.
    pub resident: f64,
    /// The most that it ever was, in MiB.
    pub peak: f64,
    /// Processor seconds since its start.
    pub processor: f64,
}

impl Usage {
    /// What process `pid` uses.
    ///
    /// # Errors
    /// There is no such process, or it is another user's.
    pub fn of(pid: u32) -> io::Result<Self> {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
        let (status, stat) = (read("status")?, read("stat")?);
        parse(&status, &stat).ok_or_else(|| io::Error::other(format!("not understood: {stat}")))
    }
}

/// How many files and connections process `pid` has open.
///
/// # Errors
/// There is no such process, or it is another user's.
pub fn open_files(pid: u32) -> io::Result<usize> {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count)
}

fn parse(status: &str, stat: &str) -> Option<Usage> {
    let mebibytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
    };
    // The program's name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let processor = (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND;
    Some(Usage { resident: mebibytes("VmRSS:")?, peak: mebibytes("VmHWM:")?, processor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_processor_time_are_read_past_any_program_name() {
        let status = "Name:\tx\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\n";
        let stat = "7 (a) b (c) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0 9";
        let usage = parse(status, stat).expect("usage");
        assert_eq!(usage, Usage { resident: 100.0, peak: 200.0, processor: 2.0 });
        assert!(parse("", stat).is_none());
    }

    #[test]
    fn this_process_uses_something() {
        assert!(Usage::of(std::process::id()).expect("usage").resident > 0.0);
        assert!(open_files(std::process::id()).expect("files") > 2);
    }
}
