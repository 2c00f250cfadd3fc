use super::launch;

fn look(line: &str) -> (String, String, String, bool) {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let found = launch("/usr/bin/x", &words);
    (found.launcher.to_owned(), found.package, found.version, found.pinned)
}

#[test]
fn launchers_are_known_with_package_and_version() {
    for (line, launcher, package, version, pinned) in [
        ("npx -y server@1.2.3 /srv", "npx", "server", "1.2.3", true),
        ("npx -y @s/server", "npx", "@s/server", "", false),
        ("npx @s/server@latest", "npx", "@s/server", "latest", false),
        ("npx @s/server@^1.2.3", "npx", "@s/server", "^1.2.3", false),
        ("npx @s/server@1.2", "npx", "@s/server", "1.2", false),
        ("npx --package=@s/server@1.2.3-rc.1 cmd", "npx", "@s/server", "1.2.3-rc.1", true),
        ("npx -p server@2.0.0 -- cmd", "npx", "server", "2.0.0", true),
        ("npx github:a/b", "npx", "github:a/b", "", false),
        ("node /usr/lib/node_modules/npm/bin/npx-cli.js -y server", "npx", "server", "", false),
        ("npm exec server@1.0.0", "npx", "server", "1.0.0", true),
        ("npm x -- server", "npx", "server", "", false),
        ("pnpm dlx server@1.0.0", "pnpm", "server", "1.0.0", true),
        ("yarn dlx server", "yarn", "server", "", false),
        ("bunx server@1.0.0", "bunx", "server", "1.0.0", true),
        ("bun x server", "bunx", "server", "", false),
        ("uvx server==1.0", "uvx", "server", "1.0", true),
        ("uvx server@latest", "uvx", "server", "latest", false),
        ("uvx server[cli]>=1.0", "uvx", "server", "1.0", false),
        ("uvx --from server==1.2.3 cmd", "uvx", "server", "1.2.3", true),
        ("uvx --python 3.12 server", "uvx", "server", "", false),
        ("uv tool run server@1.2.3", "uvx", "server", "1.2.3", true),
        ("python3 /home/x/.local/bin/uvx server", "uvx", "server", "", false),
        ("pipx run --spec server==1.0 cmd", "pipx", "server", "1.0", true),
        ("docker run -i --rm -e A img", "docker", "img", "", false),
        ("docker run -i -v /a:/b host:5000/img:1.2", "docker", "host:5000/img", "1.2", true),
        ("docker run --name=x img:latest", "docker", "img", "latest", false),
        ("docker --context c container run img@sha256:aa", "docker", "img", "sha256:aa", true),
        ("podman run img:main", "podman", "img", "main", false),
        ("deno run -A npm:@s/server@1.0.0", "deno", "@s/server", "1.0.0", true),
        ("go run host/x@latest", "go", "host/x", "latest", false),
        ("go run -tags a host/x@v1.2.3", "go", "host/x", "v1.2.3", true),
        ("env A=b npx server", "npx", "server", "", false),
        ("A=b npx server@1.0.0", "npx", "server", "1.0.0", true),
    ] {
        assert_eq!(look(line), (launcher.to_owned(), package.to_owned(), version.to_owned(), pinned), "{line}");
    }
}

#[test]
fn what_is_no_launcher_is_pinned() {
    for line in [
        "server --stdio",
        "node /srv/index.js latest",
        "python -m server",
        "npx ./local",
        "npm run start",
        "npm install x",
        "uv run server.py",
        "uv --directory /srv run server",
        "docker exec -i c run",
        "docker ps",
        "deno run main.ts",
        "go run ./cmd",
        "sh -c",
        "npx",
        "",
    ] {
        assert_eq!(look(line), (String::new(), String::new(), String::new(), true), "{line}");
    }
    assert!(launch("/usr/bin/x", &[]).pinned);
}

#[test]
fn shells_and_titles_are_looked_through() {
    let words = |words: &[&str]| launch("/bin/sh", &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!(words(&["sh", "-c", "exec npx -y 'server@latest'; echo"]).package, "server");
    assert_eq!(words(&["bash", "-lc", "A=\"b c\" uvx server==1.0"]).version, "1.0");
    assert_eq!(words(&["npm exec @s/server /srv"]).package, "@s/server");
    assert_eq!(words(&["sh", "-c", "echo npx server"]).launcher, "");
}
