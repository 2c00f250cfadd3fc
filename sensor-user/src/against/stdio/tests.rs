use super::*;
use rustix::process::test_kill_process_group;

fn shell(script: &str) -> Stdio {
    Stdio::start("/bin/sh", &["-c".to_owned(), script.to_owned()]).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn line(server: &mut Stdio) -> String {
    match server.receive(soon()) {
        Received::Line(line) => String::from_utf8(line).unwrap(),
        other => format!("{other:?}"),
    }
}

#[test]
fn lines_go_there_and_come_back() {
    let mut server = shell("read a; echo \"1 $a\"; printf '\\n  \\n'; read b; printf \"2 $b\"; echo oh no >&2; exit 3");
    server.send("x").unwrap();
    server.send("y").unwrap();
    assert_eq!((line(&mut server), line(&mut server), line(&mut server)), ("1 x".to_owned(), "2 y".to_owned(), "Closed".to_owned()));
    while !server.ended {
        server.turn(soon());
    }
    assert_eq!(server.end(), Ended { how: "exited with 3".to_owned(), complaints: "oh no\n".to_owned() });
}

#[test]
fn nothing_is_left_of_a_server_that_does_not_want_to_end() {
    let mut server = shell("trap '' TERM; (trap '' TERM; while :; do sleep 1000; done) & echo up; while :; do sleep 1000; done");
    assert_eq!(line(&mut server), "up");
    let group = server.pid;
    assert!(test_kill_process_group(group).is_ok());
    assert_eq!(server.end().how, "");
    drop(server);
    // What init has not reaped yet is a zombie; it takes no signal for long.
    let until = soon();
    while test_kill_process_group(group).is_ok() {
        assert!(Instant::now() < until, "the group is still there");
        std::thread::yield_now();
    }
}

#[test]
fn a_line_without_end_is_thrown_away_and_what_follows_is_read() {
    let mut server = shell("head -c 40000000 /dev/zero | tr '\\0' x; echo; echo behind; head -c 17000000 /dev/zero | tr '\\0' y");
    assert_eq!(line(&mut server), "TooLong");
    assert_eq!(line(&mut server), "behind");
    assert_eq!((line(&mut server), line(&mut server)), ("TooLong".to_owned(), "Closed".to_owned()));
    assert!(server.read.capacity() < 2 * (LINE + READ));
}

#[test]
fn a_server_that_does_not_read_blocks_nobody() {
    let mut server = shell("exec sleep 1000");
    let message = "x".repeat(1 << 20);
    let sent = (0..100).take_while(|_| server.send(&message).is_ok()).count();
    assert!((60..70).contains(&sent), "{sent}");
    assert!(matches!(server.receive(Instant::now() + Duration::from_millis(1)), Received::Nothing));
}

#[test]
fn a_descendant_that_holds_the_pipe_keeps_nobody_waiting() {
    let mut server = shell("setsid sleep 1000 & echo $!");
    let descendant = Pid::from_raw(line(&mut server).parse().unwrap()).unwrap();
    assert_eq!(line(&mut server), "Closed");
    rustix::process::kill_process(descendant, Signal::KILL).unwrap();
}

#[test]
fn what_cannot_be_started_is_an_error() {
    assert!(Stdio::start("/nowhere/server", &[]).is_err());
}
