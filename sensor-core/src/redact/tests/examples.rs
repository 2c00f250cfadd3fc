use super::{Level, Redactor, parse, redact};
use crate::redact::names;

/// The text that redacted text must be.
fn assert_text(text: &str, expected: &str) {
    assert_eq!(Redactor::new(Level::Redacted).text(text), expected);
    let json = serde_json::to_string(&[text]).expect("a string can be written");
    assert_eq!(parse(&redact(&json)), serde_json::json!([expected]));
}

#[test]
fn names_that_are_secret() {
    for name in [
        "password",
        "PASSWORD",
        "Password",
        "passWord",
        "PassWord",
        "pass_word",
        "user_password",
        "password2",
        "passwd",
        "db_pass",
        "passphrase",
        "secret",
        "client_secret",
        "clientSecret",
        "aws_secret_access_key",
        "secretAccessKey",
        "secrets",
        "token",
        "access_token",
        "accessToken",
        "ACCESS-TOKEN",
        "refresh_token",
        "id_token",
        "idToken",
        "github_token",
        "GITHUB_TOKEN",
        "authToken",
        "backend_token",
        "admin_token",
        "helperToken",
        "csrfToken",
        "api_key",
        "apikey",
        "apiKey",
        "API-Key",
        "x-api-key",
        "api key",
        "private_key",
        "privateKey",
        "ssh_key",
        "AccountKey",
        "SharedAccessKey",
        "authorization",
        "Authorization",
        "proxy-authorization",
        "cookie",
        "Set-Cookie",
        "cookies",
        "credential",
        "credentials",
        "ssn",
        "user_ssn",
        "pwd",
        "MYSQL_PWD",
    ] {
        assert!(names::secret(name.as_bytes()).is_some(), "{name}");
    }
}

#[test]
fn names_that_are_not_secret() {
    for name in [
        "progressToken",
        "progress_token",
        "nextCursor",
        "cursor",
        "tokenCount",
        "token_count",
        "max_tokens",
        "maxTokens",
        "tokens",
        "total_tokens",
        "prompt_tokens",
        "tokenizer",
        "nextPageToken",
        "next_page_token",
        "pageToken",
        "continuationToken",
        "syncToken",
        "eos_token",
        "stop_token",
        "key",
        "keys",
        "keyword",
        "keyboard",
        "primary_key",
        "publicKey",
        "cacheKey",
        "author",
        "authors",
        "authorized",
        "authorization_endpoint",
        "compass",
        "bypass",
        "passed",
        "path",
        "secretary",
        "secretName",
        "password_file",
        "--password-stdin",
        "name",
        "id",
        "jsonrpc",
        "method",
        "text",
        "kieker",
        "lesson",
        "ssnx",
        "OLDPWD",
        "created_at",
        "pin",
        "",
    ] {
        assert!(names::secret(name.as_bytes()).is_none(), "{name}");
    }
}

#[test]
fn values_under_secret_names() {
    for (json, expected) in [
        (r#"{"password":"hunter2","user":"bob"}"#, r#"{"password":"[redacted:password:7]","user":"bob"}"#),
        (r#"{"pass\u0077ord":"h\u0075nter2"}"#, r#"{"password":"[redacted:password:7]"}"#),
        (r#"{"api_key":12345,"a":1}"#, r#"{"api_key":"[redacted:key:5]","a":1}"#),
        (r#"{"token":null,"secret":true,"cookie":""}"#, r#"{"token":null,"secret":true,"cookie":""}"#),
        (
            r#"{"credentials":{"a":["x",{"b":"yy"}]}}"#,
            r#"{"credentials":{"a":["[redacted:credentials:1]",{"b":"[redacted:credentials:2]"}]}}"#,
        ),
        (r#"{"pwd":"/home/bob"}"#, r#"{"pwd":"/home/bob"}"#),
        (r#"{"pwd":"hunter2"}"#, r#"{"pwd":"[redacted:password:7]"}"#),
        (r#"{"pass":12,"fail":0}"#, r#"{"pass":12,"fail":0}"#),
        (
            r#"{"env":[{"name":"DB_PASSWORD","value":"x y"},{"name":"HOME","value":"/"}]}"#,
            r#"{"env":[{"name":"DB_PASSWORD","value":"[redacted:password:3]"},{"name":"HOME","value":"/"}]}"#,
        ),
        (r#"{"value":"x","name":"Authorization"}"#, r#"{"value":"[redacted:authorization:1]","name":"Authorization"}"#),
        (r#"{"required":["password"],"name":"password"}"#, r#"{"required":["password"],"name":"password"}"#),
        (
            r#"{"properties":{"password":{"type":"string","description":"Of the user","default":"x"},"token":{"anyOf":[{"type":"string"},{"enum":["a"]}]}}}"#,
            r#"{"properties":{"password":{"type":"string","description":"Of the user","default":"[redacted:password:1]"},"token":{"anyOf":[{"type":"string"},{"enum":["[redacted:token:1]"]}]}}}"#,
        ),
        (r#"{"ghp_0123456789012345678901234567890123456789":1}"#, r#"{"[redacted:github-token:44]":1}"#),
        (r#"{"progressToken":"abc","maxTokens":7}"#, r#"{"progressToken":"abc","maxTokens":7}"#),
    ] {
        assert_eq!(redact(json), expected);
    }
}

#[test]
fn values_that_are_given_in_text() {
    assert_text("PASSWORD=hunter2 make", "PASSWORD=[redacted:password:7] make");
    assert_text("export API_KEY='a b c'\n", "export API_KEY='[redacted:key:5]'\n");
    assert_text("password: hunter2", "password: [redacted:password:7]");
    assert_text("{\"password\": \"hunter2\", \"a\": 1}", "{\"password\": \"[redacted:password:7]\", \"a\": 1}");
    assert_text("{\\\"password\\\":\\\"hun\\\\\\\"ter2\\\"}", "{\\\"password\\\":\\\"[redacted:password:11]\\\"}");
    assert_text("{\"credentials\": {\"a\": \"}\", \"b\": 1}, \"c\": 2}", "{\"credentials\": [redacted:credentials:18], \"c\": 2}");
    assert_text("curl -H 'Authorization: Basic dXNlcjpwYXNz' x", "curl -H 'Authorization: [redacted:authorization:18]' x");
    assert_text("Cookie: a=b; c=d\nHost: x", "Cookie: [redacted:cookie:8]\nHost: x");
    assert_text("GET /?access_token=abc&x=1", "GET /?access_token=[redacted:token:3]&x=1");
    assert_text("https://bob:pw@host/x", "https://bob:[redacted:url-password:2]@host/x");
    assert_text("Server=a;Password=b;User=c", "Server=a;Password=[redacted:password:1];User=c");
    assert_text("<password>a b</password>", "<password>[redacted:password:3]</password>");
    assert_text("the bearer abc12345 of", "the bearer [redacted:bearer-token:8] of");
}

#[test]
fn text_that_only_looks_like_it() {
    for text in [
        "The password: must be long",
        "fn login(user: &str, password: String)",
        "password: Option<String>",
        "if token == other {",
        "let token = lexer.next();",
        "token = ${TOKEN}",
        "PASSWORD=$PASSWORD",
        "PASSWORD=***",
        "pwd: /home/bob",
        "max_tokens=100",
        "task-management-system-and-more-words",
        "https://example.org/a:b@c",
        "https://example.org:443/",
        "the author: Bob 1",
        "bearer of news",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "eyJhIjoxfQ",
        "C:\\users\\bob",
        "a key: b",
    ] {
        assert_text(text, text);
    }
}

#[test]
fn arguments_of_a_command_line() {
    let redact = |line: &str| {
        let arguments: Vec<_> = line.split(' ').map(str::to_owned).collect();
        Redactor::new(Level::Redacted).arguments(&arguments).join(" ")
    };
    assert_eq!(redact("srv --token abc --port 80"), "srv --token [redacted:token:3] --port 80");
    assert_eq!(redact("srv --api-key=abc -v"), "srv --api-key=[redacted:key:3] -v");
    assert_eq!(redact("srv -token abc"), "srv -token [redacted:token:3]");
    assert_eq!(redact("env API_TOKEN=abc npx"), "env API_TOKEN=[redacted:token:3] npx");
    assert_eq!(redact("docker run -e GITHUB_TOKEN=abc -u 1000:1000 x"), "docker run -e GITHUB_TOKEN=[redacted:token:3] -u 1000:1000 x");
    assert_eq!(
        redact("curl -u bob:pw https://a:b@c/?key=1"),
        "curl -u bob:[redacted:password:2] https://a:[redacted:url-password:1]@c/?key=1"
    );
    assert_eq!(redact("srv --password --verbose"), "srv --password --verbose");
    assert_eq!(redact("docker login --password-stdin host"), "docker login --password-stdin host");
    assert_eq!(redact("npx -y @scope/server /home/bob"), "npx -y @scope/server /home/bob");
    assert_eq!(redact("srv --token [redacted:token:3]"), "srv --token [redacted:token:3]");
}

#[test]
fn long_strings_are_shortened_and_small_members_behind_them_are_shown() {
    let text = "a ".repeat(5000);
    let json = format!(r#"{{"result":{{"content":[{{"type":"text","text":"{text}"}}]}},"jsonrpc":"2.0","id":7}}"#);
    let (output, redacted) = super::redact_with(json.as_bytes(), Level::Redacted, 1000, true).expect("the test gives JSON");
    assert!(redacted.truncated && output.len() <= 1000 && output.len() > 500, "{output}");
    let output = parse(&output);
    assert_eq!(output["id"], 7);
    let shown = output["result"]["content"][0]["text"].as_str().expect("the text is shown");
    let (shown, cut) = shown.split_once("[cut:").expect("the cut is told");
    assert_eq!(shown.len() + cut.trim_end_matches(']').parse::<usize>().expect("a number"), text.len());
}

#[test]
fn numbers_stand_as_they_are_written() {
    let json = r#"[1.0,1e5,-0,12345678901234567890123,1E-7,0.10]"#;
    assert_eq!(redact(json), json);
    assert_eq!(redact("[1e999,-1e999]"), r#"["1e999","-1e999"]"#);
    let long = "9".repeat(400);
    assert_eq!(redact(&format!("[{long}]")), format!("[\"{long}\"]"));
}
