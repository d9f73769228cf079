//! What the nodes really did, read from their EFFECTS file while it grows.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
};

/// A handler was called.
#[derive(Clone, Copy)]
pub struct Start {
    pub task_id: i64,
    /// The process.
    pid: u32,
    pub millis: i64,
}

pub struct Effects {
    path: PathBuf,
    offset: u64,
    /// The beginning of a line whose end is not written yet.
    partial: String,
    pub starts: Vec<Start>,
    /// Task, process and time of each end.
    all_ends: HashMap<(i64, u32), Vec<i64>>,
    /// When each process wrote its last line.
    last_lines: HashMap<u32, i64>,
    /// When each task ended for the first time: what is done twice is not twice the throughput.
    ends: Vec<i64>,
    ended: HashSet<i64>,
}

impl Effects {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            offset: 0,
            partial: String::new(),
            starts: Vec::new(),
            all_ends: HashMap::new(),
            last_lines: HashMap::new(),
            ends: Vec::new(),
            ended: HashSet::new(),
        }
    }

    /// Reads what is new.
    pub fn refresh(&mut self) {
        // Nobody has run anything before the first node opens it.
        let Ok(mut file) = File::open(&self.path) else { return };
        file.seek(SeekFrom::Start(self.offset)).expect("seeks");
        let read = file.read_to_string(&mut self.partial).expect("reads");
        self.offset += read as u64;
        let text = std::mem::take(&mut self.partial);
        let (lines, partial) = text.rsplit_once('\n').unwrap_or(("", &text));
        partial.clone_into(&mut self.partial);
        for line in lines.lines() {
            // A node that was killed while it wrote may leave a torn line.
            let _ = self.take(line);
        }
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split(' ');
        let task_id = fields.next()?.parse().ok()?;
        let (_attempt, pid) = (fields.next()?, fields.next()?.parse().ok()?);
        let what = fields.next()?;
        let millis = fields.next()?.parse().ok()?;
        self.last_lines.insert(pid, millis);
        if what != "start" {
            self.all_ends.entry((task_id, pid)).or_default().push(millis);
        }
        match what {
            "start" => self.starts.push(Start { task_id, pid, millis }),
            _ if self.ended.insert(task_id) => self.ends.push(millis),
            _ => {}
        }
        Some(())
    }

    /// When a run ended; at the latest, if its process was killed, when that process wrote its last line.
    pub fn end_of(&self, start: &Start) -> i64 {
        let ends = self.all_ends.get(&(start.task_id, start.pid));
        let end = ends.into_iter().flatten().find(|end| **end >= start.millis);
        *end.or_else(|| self.last_lines.get(&start.pid)).unwrap_or(&start.millis)
    }

    /// From now on no other task counts as ended: what is undone ends once more.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub fn keep_ended(&mut self, ended: &HashSet<i64>) {
        self.ended.retain(|id| ended.contains(id));
    }

    /// How many tasks have ended.
    pub fn ended(&self) -> usize {
        self.ended.len()
    }

    /// How many ended in the second from then on.
    pub fn in_second_from(&self, from: i64) -> u32 {
        let inside = self.ends.iter().filter(|end| (from..from + 1_000).contains(*end));
        u32::try_from(inside.count()).expect("far fewer")
    }
}
