use super::*;

#[test]
fn smoke() {
    let show = |pieces: &[&str]| {
        let mut framing = Ndjson::new(Limits::default());
        let mut tape = Tape::new();
        let mut seen = String::new();
        for piece in pieces {
            framing.push(piece.as_bytes(), &mut tape, &mut |frame| {
                seen += &match frame {
                    Frame::Value { bytes, marks, start, .. } => {
                        format!("V{}@{start}m{:x} ", String::from_utf8_lossy(bytes), marks.0)
                    }
                    Frame::Noise { bytes } => format!("N{bytes} "),
                    Frame::Gap { bytes, .. } => format!("G{bytes:?} "),
                };
            });
        }
        seen
    };
    eprintln!("{}", show(&["{\"id\":1}\n{\"id\":2}\r\n\n{'debug': 1}\n{\"a\": \n{\"method\":1}\n{\"jsonrpc\":2}\nx\n"]));
    eprintln!("{}", show(&["{\"id\"", ":1}", "\n{\"id\":2}\r\n\n{'deb", "ug': 1}\n{\"a\": \n{\"meth", "od\":1}\n{\"jsonrp", "c\":2}\nx", "\n"]));
    eprintln!("{}", show(&["{\"id\":1}\r{\"id\":2} {\"id\":3} INFO\n\u{feff}{\n\"id\"\n:4}\nINFO {}\n\0{}{}"]));
}
