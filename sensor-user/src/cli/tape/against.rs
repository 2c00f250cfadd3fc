//! One session of a recording against a server: see [`crate::against`].

use super::{Replay, replay::unreadable, session::Wanted};
use crate::{
    against::{Conversation, Plan, Report, Stdio, Tolerance, play},
    agent::stop_on_signals,
    capture::Pace,
    cli::{Exit, Failure, run::mebibytes, to_stderr, warn},
    export::{Exporter, Outgoing, Summary, style::Styles, table::Size},
    replay::{self, Files, ReplayError, Settings},
};
use mcp_sensor_proto::v1::event::Body;
use recording::{Ending, Level};
use sensor_core::redact;
use std::{
    io::{self, IsTerminal as _, Read as _, Write as _},
    mem,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
};

/// Says the session again to a server that `command` starts, and shows what is different.
pub fn against(options: &Replay, command: &str, files: Files) -> Result<Exit, Failure> {
    let styles = Styles::choose(options.color, &io::stderr());
    let (program, arguments) = words(command)?;
    let stop = stop_on_signals().map_err(|error| Failure::new(Exit::Failed, "cannot watch for signals").because(error))?;
    let conversation = conversation(options, files, styles, &stop)?;
    let plan = Plan::new(&conversation, &options.against.allow);
    consent(options, &plan.text(&conversation.session, command, styles, Size::of_stdout().columns()), !plan.requests.is_empty())?;
    let mut server = Stdio::start(&program, &arguments).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot start the server `{program}`"))
            .because(error)
            .mend("--against takes a program and its arguments, as a shell splits them; no shell is run")
    })?;
    let settings = play::Settings {
        timeout: options.against.timeout.0,
        tolerance: Tolerance { ignore: options.against.ignore.clone(), exact: options.against.exact },
        level: options.payload.into(),
        command: command.to_owned(),
    };
    let report = play::play(&conversation, &plan, &mut server, &settings, &stop);
    show(options, &report).map_err(Failure::of_output)?;
    Ok(if report.same { Exit::Ok } else { Exit::Failed })
}

fn show(options: &Replay, report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let text = if options.json { report.json() } else { report.text(Styles::choose(options.color, &out), Size::of_stdout().columns()) };
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The program and its arguments.
fn words(command: &str) -> Result<(String, Vec<String>), Failure> {
    if command.starts_with("http://") || command.starts_with("https://") {
        return Err(Failure::new(Exit::Usage, "--against: a server behind a URL is not supported yet")
            .mend("give the command that starts the server with its standard input and output as the transport"));
    }
    let mut words = shlex::split(command).unwrap_or_default().into_iter();
    let program = words.next().filter(|program| !program.is_empty());
    let program = program.ok_or_else(|| {
        Failure::new(Exit::Usage, "--against: this is no command")
            .because("it is empty, or a quote in it is not closed")
            .mend("write it as for a shell: --against 'python3 server.py --root \"/my files\"'")
    })?;
    Ok((program, words.collect()))
}

/// What was said in the session.
fn conversation(options: &Replay, files: Files, styles: Styles, stop: &AtomicBool) -> Result<Conversation, Failure> {
    let redacted = files.0.header().level == Level::Redacted;
    let kept = Kept(Arc::new(Mutex::new((Wanted::new(&options.filters.session), Conversation::new(redacted)))));
    let settings = Settings {
        // What is sent is what was said; how much of it is shown is another matter.
        level: redact::Level::Full,
        whole: true,
        memory: mebibytes(options.memory_mib),
        pace: Pace::Max,
        until: None,
        exporter: Box::new(kept.clone()),
        recording: None,
        policy: None,
    };
    let (failure, ending) = match replay::run_all(files, settings, stop) {
        Ok(ended) => ended,
        Err(ReplayError::Output(error)) => return Err(Failure::of_output(error)),
        Err(error) => return Err(unreadable(&error)),
    };
    if let Some(error) = failure {
        return Err(Failure::new(Exit::Usage, "the recording cannot be read to its end")
            .because(error.to_string())
            .mend("`mcp-sensor verify` tells what is wrong with it"));
    }
    let (wanted, conversation) = mem::take(&mut *kept.0.lock().unwrap_or_else(PoisonError::into_inner));
    wanted.check()?;
    if conversation.too_long {
        return Err(
            Failure::new(Exit::Usage, "the session is too long to be said again").because("200,000 messages and 256 MiB are the limit")
        );
    }
    if !matches!(ending, Ending::Complete(_)) {
        warn("the recording is not whole: the session may have gone on", styles);
    }
    Ok(conversation)
}

/// Says what is going to be done, and asks whether it may be.
fn consent(options: &Replay, plan: &str, any: bool) -> Result<(), Failure> {
    to_stderr(plan);
    if !any {
        return Err(Failure::new(Exit::Usage, "there is nothing to send to the server")
            .because("the recording holds no request of the client in this session that can be sent"));
    }
    if options.against.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::new(Exit::Usage, "nobody is here to say that this may be done")
            .mend("look at what would be called, and give --yes; --allow TOOL limits it"));
    }
    to_stderr("Start the server and send this? [y/N] ");
    if is_yes() { Ok(()) } else { Err(Failure::new(Exit::Usage, "nothing was started")) }
}

/// Reads a line from the terminal. A signal means no.
fn is_yes() -> bool {
    let (mut line, mut byte) = (Vec::new(), [0]);
    let mut input = io::stdin().lock();
    while line.len() < 64 && matches!(input.read(&mut byte), Ok(1)) && byte != *b"\n" {
        line.extend(byte);
    }
    byte == *b"\n" && matches!(line.trim_ascii().to_ascii_lowercase().as_slice(), b"y" | b"yes")
}

/// Keeps what was said in the session that is wanted. A clone keeps for the same.
#[derive(Clone)]
struct Kept(Arc<Mutex<(Wanted, Conversation)>>);

impl Exporter for Kept {
    fn event(&mut self, event: &Outgoing) -> io::Result<()> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (wanted, conversation) = &mut *kept;
        let is_said = matches!(event.frame.body, Some(Body::Message(_) | Body::Gap(_) | Body::SessionChange(_)));
        if event.session.as_ref().is_some_and(|session| wanted.takes(&session.get().id)) && is_said {
            conversation.add(event.to_event());
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn tick(&mut self, _now: i64) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _summary: &Summary) -> io::Result<()> {
        Ok(())
    }
}
