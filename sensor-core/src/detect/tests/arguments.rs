use super::argument;

#[test]
fn paths_are_told_decoded_and_normalised() {
    for (written, told) in [
        ("/srv/./files//a.txt", "/srv/files/a.txt"),
        ("/srv/%2566iles/a", "/srv/files/a"),
        ("file:///srv/a%20b", "/srv/a b"),
        ("../../x", "../../x"),
        ("/srv/files/../../../etc/hosts", "/etc/hosts"),
        (r"C:\Users\dev\..\x", "C:/Users/x"),
        ("/etc/hosts\0.png", "/etc/hosts"),
        ("~/notes.md", "~/notes.md"),
    ] {
        assert_eq!(argument("path", written).paths, [told], "{written}");
    }
    assert!(argument("url", "https://example.org/a/b").paths.is_empty());
    assert!(argument("reason", "and/or").paths.is_empty());
}

#[test]
fn a_climb_is_seen_in_any_disguise() {
    for path in [
        "../../x",
        "a/../../../x",
        "%2e%2e/x",
        "..%2fx",
        "%252e%252e%252fx",
        r"..\..\x",
        "..%5c..%5cx",
        "..%c0%afx",
        "%c0%ae%c0%ae/x",
        "%e0%80%ae%e0%80%ae%e0%80%afx",
        "....//x",
        "..;/x",
        "/srv/../x",
        "/a/b/../../../x",
        "\u{FF0E}\u{FF0E}/x",
        "../x\0.png",
        "--file=../../x",
    ] {
        assert!(argument("path", path).path_traversal, "{path}");
        assert!(argument("anything", path).path_traversal, "{path}");
    }
    for path in ["../x", "a/../b", "/home/dev/a/../b", "a..b", "...", "./...", "main..topic", "https://example.org/a/../../b"] {
        assert!(!argument("path", path).path_traversal, "{path}");
    }
}

#[test]
fn paths_to_secrets_are_known_in_any_case_and_place() {
    for path in [
        "/home/x/.ssh/id_rsa",
        "~/.SSH/config",
        "id_ed25519",
        "../../etc/shadow",
        "/etc//./shadow",
        "/proc/17/environ",
        "/srv/app/.env",
        "%2fetc%2fpasswd",
        r"C:\Users\x\.aws\credentials",
        "/root/.kube/config",
        "/Users/x/.cursor/mcp.json",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
    ] {
        assert!(!argument("path", path).sensitive_paths.is_empty(), "{path}");
    }
    for path in [
        "/home/x/.ssh/id_rsa.pub",
        "/home/x/.ssh/known_hosts",
        "/srv/app/.env.example",
        "/srv/etc/passwd-form.html",
        "src/etc/shadow",
        "/srv/environ",
        "/home/x/my.ssh/y",
        "environment",
    ] {
        assert!(argument("path", path).sensitive_paths.is_empty(), "{path}");
    }
}

#[test]
fn text_and_code_are_no_names() {
    for key in ["content", "new_str", "newText", "sql", "description"] {
        let shown = argument(key, "import '../../../x'; `id`; http://10.0.0.1/ /etc/shadow");
        assert_eq!(shown, super::Arguments::default(), "{key}");
    }
    // But what is nothing but a path or an address is looked at under any name.
    assert!(argument("query", "../../../etc/shadow").path_traversal);
    assert!(argument("text", "http://169.254.169.254/latest").metadata_address);
}

#[test]
fn an_address_inside_is_known_however_it_is_written() {
    for host in [
        "localhost",
        "LOCALHOST.",
        "127.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.01",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1%25eth0]",
        "[fd00::1]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "user:pass@10.0.0.1",
        "example.org@10.0.0.1:80",
        "127.0.0.1.nip.io",
        "app-10-0-0-1.sslip.io",
        "\u{FF11}0.0.0.1",
        "%31%30.0.0.1",
        "db.internal",
        "printer.local",
        "x.svc.cluster.local",
    ] {
        let shown = argument("url", &format!("http://{host}/x"));
        assert!(!shown.internal_addresses.is_empty(), "{host}: {shown:?}");
        assert!(!shown.metadata_address, "{host}");
    }
    for host in [
        "example.org",
        "8.8.8.8",
        "172.32.0.1",
        "100.128.0.1",
        "10.example.org",
        "localhost.example.org",
        "[2001:db8::1]",
        "256.1.1.1",
        "1.2.3.4.5",
    ] {
        let shown = argument("url", &format!("http://{host}/x"));
        assert!(shown.internal_addresses.is_empty(), "{host}: {shown:?}");
        assert_eq!(shown.hosts.len(), 1, "{host}");
    }
}

#[test]
fn the_metadata_service_is_known_however_it_is_written() {
    for url in [
        "http://169.254.169.254/",
        "http://0xa9fea9fe/",
        "http://169.254.43518/",
        "http:/169.254.169.254/",
        r"http:\\169.254.169.254\x",
        "//169.254.169.254/x",
        "169.254.169.254",
        "169.254.169.254/latest",
        "metadata.google.internal/x",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:a9fe:a9fe]/",
        "https://example.org/?u=http%3A%2F%2F169.254.169.254%2F",
        "see http://metadata.google.internal/x",
    ] {
        assert!(argument("url", url).metadata_address, "{url}");
    }
    for url in ["169.254.169.254/32", "http://169.254.169.253/", "https://example.org/169.254.169.254", "metadata.yaml"] {
        assert!(!argument("url", url).metadata_address, "{url}");
    }
}

#[test]
fn schemes_are_told_but_for_those_of_the_web() {
    assert_eq!(argument("u", "gopher://x:70/1").schemes, ["gopher"]);
    assert_eq!(argument("u", "a GIT+SSH://x/y and https://z").schemes, ["git+ssh"]);
    assert!(argument("u", "https://x").schemes.is_empty());
    assert!(argument("u", "C:/x and a:b").schemes.is_empty());
}

#[test]
fn commands_are_known_behind_every_sign_of_a_shell() {
    for value in [
        "x;id",
        "x; curl http://y",
        "x|sh",
        "x || wget y",
        "x && bash -c y",
        "x & nc 192.0.2.1 80",
        "x\nrm -rf /y",
        "$(id)",
        "a-`whoami`",
        "<(cat /x)",
        "x > /etc/y",
        "${IFS}",
        "--upload-pack=x",
        "-oProxyCommand=x",
        "; /tmp/x",
        "a'; rm -rf /; '",
        "'; cat /etc/hosts #",
        "__import__('os')",
    ] {
        assert!(!argument("name", value).shell.is_empty(), "{value}");
    }
    for value in [
        "Black & Sons; Ltd",
        "a;b|c&d",
        "text/html; q=0.9",
        "$5 (of $9)",
        "`parse` fails",
        "a > b",
        "tom; cat lovers",
        "first; then make tea",
        "Outer$Inner",
        "x^2 || y",
        "https://example.org/?a=1&id=7;sort=up",
        "$(document)",
    ] {
        assert!(argument("name", value).shell.is_empty(), "{value}: {:?}", argument("name", value).shell);
    }
}

#[test]
fn destructive_verbs_are_words_of_their_own() {
    for name in [
        "delete_file",
        "file-delete",
        "dropTable",
        "HTTPDelete",
        "users.remove",
        "KILL",
        "sendEmail",
        "transfer-funds",
        "formatDisk",
        "read_and_delete",
        "github__delete_repo",
    ] {
        assert!(super::is_destructive(name), "{name}");
    }
    for name in [
        "get_deleted",
        "list_deploys",
        "get_transfer",
        "executives",
        "payload",
        "dropdown",
        "format_code",
        "sender",
        "search",
        "",
        "undelete",
    ] {
        assert!(!super::is_destructive(name), "{name}");
    }
}
