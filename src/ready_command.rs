//! `bowline ready`: whether operator and portal answer. For `helm test` and scripts: the image has no other client.
#![allow(
    clippy::doc_markdown,
    reason = "these texts are the help, where a backtick is one character too many"
)]

use std::io::Write;

use anyhow::{Context as _, bail};
use bowline_api::duration::Duration;
use clap::Args;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use url::Url;

/// How long one request may take, and how long to wait before the next one.
const EACH: std::time::Duration = std::time::Duration::from_secs(5);
const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// Flags of `bowline ready`.
#[derive(Args, Debug)]
pub struct ReadyFlags {
    /// What to ask, such as http://bowline.bowline-system:8080/readyz. Plain HTTP, without a redirect.
    #[arg(required = true, value_name = "ADDRESS", value_parser = plain_http)]
    addresses: Vec<Url>,

    /// How long to wait until all of them have answered 200.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    within: Duration,
}

fn plain_http(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if url.scheme() == "http" && url.has_host() { Ok(url) } else { Err("it begins with http://".to_owned()) }
}

/// Asks each until it answers 200. The error says what the first one that does not answered last.
pub async fn run(out: &mut impl Write, flags: &ReadyFlags) -> anyhow::Result<()> {
    let mut last = String::new();
    let all = async {
        for address in &flags.addresses {
            loop {
                last = match timeout(EACH, status(address)).await {
                    Ok(Ok(status)) if status == "200" => break,
                    Ok(Ok(status)) => format!("{address} answers {status}"),
                    Ok(Err(error)) => format!("{address}: {error:#}"),
                    Err(_) => format!("{address} does not answer within {} s", EACH.as_secs()),
                };
                sleep(PAUSE).await;
            }
            writeln!(out, "{address} is ready")?;
        }
        anyhow::Ok(())
    };
    let waited = timeout(flags.within.get(), all).await;
    let Ok(answered) = waited else { bail!("not ready: {last}") };
    answered
}

/// The status of an answer, three digits.
async fn status(address: &Url) -> anyhow::Result<String> {
    let host = address.host_str().unwrap_or_default();
    let port = address.port_or_known_default().unwrap_or(80);
    let name = host.trim_matches(['[', ']']);
    let mut stream = TcpStream::connect((name, port)).await.context("cannot connect")?;
    let path = &address[url::Position::BeforePath..url::Position::AfterQuery];
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.context("cannot ask")?;
    // "HTTP/1.1 200"
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.context("the connection ended without an answer")?;
    let line = String::from_utf8_lossy(&line);
    line.split_once(' ').map(|(_, status)| status.to_owned()).context("this is not HTTP")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration as Time;

    use tokio::net::TcpListener;

    use super::*;

    /// Serves these answers, one a connection, the last one for ever.
    async fn serve(answers: &'static [&'static str]) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for turn in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let read = stream.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n"));
                stream.write_all(answers[turn.min(answers.len() - 1)].as_bytes()).await.unwrap();
            }
        });
        format!("http://{address}/readyz").parse().unwrap()
    }

    async fn asked(addresses: Vec<Url>, within: &str) -> (String, Option<String>) {
        let mut out = Vec::new();
        let flags = ReadyFlags { addresses, within: within.parse().unwrap() };
        let result = timeout(Time::from_mins(1), run(&mut out, &flags)).await.unwrap();
        (String::from_utf8(out).unwrap(), result.err().map(|error| error.to_string()))
    }

    #[tokio::test]
    async fn it_waits_until_all_answer_200() {
        let one = serve(&["HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nok"]).await;
        let other = serve(&["HTTP/1.1 200 OK\r\n\r\n"]).await;
        let (out, error) = asked(vec![one.clone(), other.clone()], "30s").await;
        assert_eq!((out, error), (format!("{one} is ready\n{other} is ready\n"), None));
    }

    #[tokio::test]
    async fn it_says_what_was_answered_last() {
        let busy = serve(&["HTTP/1.1 503 Service Unavailable\r\n\r\n"]).await;
        let (out, error) = asked(vec![busy.clone()], "1s").await;
        assert_eq!((out.as_str(), error), ("", Some(format!("not ready: {busy} answers 503"))));
        let (_, error) = asked(vec!["http://127.0.0.1:1/readyz".parse().unwrap()], "1s").await;
        assert!(error.unwrap().starts_with("not ready: http://127.0.0.1:1/readyz: cannot connect"));
    }
}
