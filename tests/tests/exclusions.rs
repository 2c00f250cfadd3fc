//! Whom the operator excludes gives no event, by its program, its user or its control group; its neighbours give all of theirs. What a
//! process calls itself counts for nothing.
#![expect(clippy::unwrap_used, reason = "a test: what goes wrong fails it")]

use end_to_end::{
    harness::{Sensor, beside, run},
    truth::compare::Options,
};
use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::{
        fs::PermissionsExt as _,
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::Command,
};

/// Users that nobody is.
const LEFT_ALONE: u32 = 61_234;
const BESIDE: u32 = 61_235;

/// A control group that ends with this value.
struct Group(PathBuf);

impl Group {
    fn new(root: &Path, name: &str) -> Self {
        let path = root.join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Where the hierarchies are mounted in which a sensor looks for a process: v2, and of v1 that of pids. One of the two at least.
fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let counts = |kind: &str, options: &str| kind == "cgroup2" || (kind == "cgroup" && options.split(',').any(|option| option == "pids"));
    let found: Vec<PathBuf> = mounts
        .filter_map(|fields| match fields[..] {
            [_, path, kind, options, ..] if counts(kind, options) => Some(path.into()),
            _ => None,
        })
        .collect();
    assert!(!found.is_empty(), "no control groups are mounted");
    found
}

/// Somebody who talks, and the logs of that.
struct Talk {
    who: String,
    logs: tempfile::TempDir,
}

/// A place that anybody may write to.
fn open_to_all() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    folder
}

/// A session of the raw peer, whose server is the same program as its client.
fn talk(who: &str, mut command: Command) -> Talk {
    let logs = open_to_all();
    command.args(["client", "--calls", "24", "--", "peer", "server"]);
    let status = run(&mut command, logs.path(), who);
    assert!(status.success(), "{who}: {status}, {:?}", status.signal());
    Talk { who: who.to_owned(), logs }
}

fn of_user(peer: &Path, user: u32) -> Command {
    let mut command = Command::new(peer);
    command.uid(user).gid(user);
    command
}

fn in_group(peer: &Path, group: &Group) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]).arg(&group.0).arg(peer);
    command
}

/// Under another name: that of its process, and the one by which it says that it was called.
fn named(peer: &Path, name: &str, called: &Path) -> Command {
    let mut command = Command::new(peer);
    command.arg0(called).args(["rename", name, "--"]);
    command
}

#[test]
fn the_excluded_give_no_event_and_their_neighbours_all() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let [quiet, peer] = ["left-alone", "peer"].map(|name| {
        let path = folder.path().join(name);
        fs::copy(beside("peer"), &path).unwrap();
        path
    });
    let group = format!("left-alone-{}", std::process::id());
    let mut arguments: Vec<OsString> = ["watch", "--payload", "full", "--exclude-user"].map(Into::into).to_vec();
    arguments.extend([LEFT_ALONE.to_string().into(), "--exclude-exe".into(), quiet.clone().into_os_string()]);
    arguments.extend(["--exclude-cgroup".into(), format!("/{group}").into()]);
    let sensor = Sensor::start(&arguments);

    let mut excluded = vec![
        talk("its program", Command::new(&quiet)),
        talk("its program, under another name", named(&quiet, "peer", &peer)),
        talk("its user", of_user(&peer, LEFT_ALONE)),
    ];
    let mut beside = vec![
        talk("another file of the same contents", Command::new(&peer)),
        talk("one that gives itself the name of the excluded", named(&peer, "left-alone", &quiet)),
        talk("another user", of_user(&peer, BESIDE)),
    ];
    for root in hierarchies() {
        let groups = ["", "-too"].map(|more| Group::new(&root, &format!("{group}{more}")));
        let [theirs, other] = &groups;
        let below = Group::new(&theirs.0, "below");
        let of = |what: &str| format!("{what} of {}", root.display());
        excluded.push(talk(&of("its group"), in_group(&peer, theirs)));
        excluded.push(talk(&of("a group below its group"), in_group(&peer, &below)));
        beside.push(talk(&of("another group, whose name begins so"), in_group(&peer, other)));
    }
    // Behind all of them: what was to come of them has come.
    beside.push(talk("the last", Command::new(&peer)));

    for talk in beside.iter().rev() {
        let report = sensor.compare(talk.logs.path(), &Options::default());
        assert!(report.found > 0 && report.is_right(), "{}: {report}", talk.who);
    }
    for talk in &excluded {
        let events = sensor.events_of(talk.logs.path());
        assert!(events.is_empty(), "excluded by {}, and {} events:\n{}", talk.who, events.len(), events.join("\n"));
    }
    assert!(sensor.stop().success());
}
