//! HTTP on `health-port`: probes, metrics and the status page, for orchestrators, Prometheus and people.
//!
//! As much of HTTP/1.1 as that takes: one GET or HEAD per connection, answered and closed. It shares nothing with the
//! clients' connections but the runtime, listens before storage is open, and goes on answering while the server drains.
//! It must never change anything, and never take more of a peer than a bounded request in a bounded time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::home::Home;
use super::listeners::{Listeners, NetworkError, http_addresses};
use crate::commands::context::Server;
use crate::commands::watch::figures::{self, Figures};
use crate::commands::watch::{health, status};
use crate::env::{Address, Incoming, Stream};
use crate::limits;
use crate::observe::{HealthReport, exposition};

const PAGE: &str = include_str!("status.html");

/// The running HTTP side.
pub struct HttpServer {
    pub listeners: Listeners,
}

impl HttpServer {
    /// Binds everything, or nothing, and starts to accept.
    pub async fn start(home: &Arc<Home>, server: Arc<Server>) -> Result<HttpServer, NetworkError> {
        let open = Arc::new(AtomicUsize::new(0));
        let serves = server.clone();
        let admit = move |home: &Arc<Home>, incoming: Incoming| {
            let Some(place) = Place::take(&open) else { return };
            let server = serves.clone();
            home.spawn(async move {
                let _place = place;
                serve(&server, incoming.stream).await;
            });
        };
        let config = server.config.current().clone();
        let mut listeners = Listeners::new(home.clone(), server, Arc::new(admit), false);
        let bound = listeners.bind(home, http_addresses(&config)?, &config.network).await?;
        listeners.switch(bound, &config.network);
        Ok(HttpServer { listeners })
    }

    pub fn addresses(&self) -> Vec<Address> {
        self.listeners.addresses()
    }
}

/// One of the connections that there may be at once, for as long as it lives.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Option<Place> {
        let place = Place(open.clone());
        (open.fetch_add(1, Ordering::Relaxed) < limits::HTTP_CONNECTIONS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers one request; a peer that is too slow, or gone, is let go.
async fn serve(server: &Arc<Server>, mut stream: Box<dyn Stream>) {
    let clock = &server.env.clock;
    let request = tokio::select! {
        biased;
        request = read_request(&mut *stream) => request,
        () = clock.sleep(limits::HTTP_PATIENCE) => return,
    };
    let Ok(request) = request else { return };
    let response = respond(server, &request);
    tokio::select! {
        biased;
        // Whether the peer took it or not, this is the end.
        _ = send(&mut *stream, &response) => {}
        () = clock.sleep(limits::HTTP_PATIENCE) => {}
    }
}

/// Reads up to the empty line that ends the headers, or as much as a request may have.
async fn read_request(stream: &mut dyn Stream) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() <= limits::HTTP_REQUEST_BYTES_MAX {
        match stream.read(&mut chunk).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => request.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(request)
}

async fn send(stream: &mut dyn Stream, response: &[u8]) -> io::Result<()> {
    stream.write_all(response).await?;
    stream.shutdown().await
}

/// An answer before it is put into bytes.
struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

impl Answer {
    fn text(status: &'static str, body: impl Into<String>) -> Answer {
        Answer { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }

    fn json(status: &'static str, body: String) -> Answer {
        Answer { status, content_type: "application/json", body }
    }
}

const OK: &str = "200 OK";
const UNAVAILABLE: &str = "503 Service Unavailable";

/// The whole response to a request that was read.
fn respond(server: &Arc<Server>, request: &[u8]) -> Vec<u8> {
    let (head_only, answer) = match parse(request) {
        Ok((head_only, path, query)) => (head_only, route(server, path, query)),
        Err(refusal) => (false, refusal),
    };
    let Answer { status, content_type, body } = answer;
    // The page loads nothing from elsewhere, and nothing may frame it or keep what it shows.
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nAllow: GET, HEAD\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
         connect-src 'self'; img-src data:; frame-ancestors 'none'\r\n\r\n",
        body.len()
    );
    if !head_only {
        response.push_str(&body);
    }
    response.into_bytes()
}

/// Whether only the head is wanted, the path and the query of a request; or its refusal.
fn parse(request: &[u8]) -> Result<(bool, &str, &str), Answer> {
    if request.len() > limits::HTTP_REQUEST_BYTES_MAX {
        return Err(Answer::text("431 Request Header Fields Too Large", "the request is too large\n"));
    }
    let malformed = || Answer::text("400 Bad Request", "this is not an HTTP request\n");
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| malformed())?;
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words[..] else { return Err(malformed()) };
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return Err(malformed());
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match method {
        "GET" => Ok((false, path, query)),
        "HEAD" => Ok((true, path, query)),
        _ => Err(Answer::text("405 Method Not Allowed", "only GET and HEAD are answered here\n")),
    }
}

fn route(server: &Arc<Server>, path: &str, query: &str) -> Answer {
    match path {
        // That this line runs is the answer: a server that is merely not ready must not be restarted for it.
        "/livez" => Answer::text(OK, "ok\n"),
        "/readyz" => {
            let report = health::report(server);
            Answer::text(ready_status(&report), ready_text(&report))
        }
        "/healthz" => {
            let report = health::report(server);
            Answer::json(ready_status(&report), status::health_json(server, &report))
        }
        "/metrics" => Answer {
            status: OK,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: exposition(figures::ROWS, &Figures::of(server)),
        },
        "/status.json" => {
            let since = query.split('&').find_map(|pair| pair.strip_prefix("since=")?.parse().ok());
            Answer::json(OK, status::status_json(server, since.unwrap_or(0)))
        }
        "/" => Answer { status: OK, content_type: "text/html; charset=utf-8", body: PAGE.into() },
        _ => Answer::text("404 Not Found", "there are /, /livez, /readyz, /healthz and /metrics\n"),
    }
}

fn ready_status(report: &HealthReport) -> &'static str {
    if report.is_ready() { OK } else { UNAVAILABLE }
}

/// `ok`, or why not, a line for each reason.
fn ready_text(report: &HealthReport) -> String {
    if report.is_ready() {
        return "ok\n".into();
    }
    let mut text = format!("not ready: {}\n", report.phase.word());
    for finding in report.findings.iter().filter(|finding| finding.status == crate::observe::Status::Failing) {
        text.push_str(&format!("{}: {}\n", finding.check, finding.reason));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_from_what_is_none() {
        let parsed = |request: &str| match parse(request.as_bytes()) {
            Ok((head, path, query)) => format!("{head} {path} {query}"),
            Err(refusal) => refusal.status.split(' ').next().unwrap().to_string(),
        };
        let large = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(limits::HTTP_REQUEST_BYTES_MAX));
        for (request, expected) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "false / "),
            ("HEAD /a?b=c&d HTTP/1.0\r\n\r\n", "true /a b=c&d"),
            ("POST / HTTP/1.1\r\n\r\n", "405"),
            ("GET  / HTTP/1.1\r\n\r\n", "400"),
            ("GET http://x/ HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/2\r\n\r\n", "400"),
            ("*1\r\n$4\r\nPING\r\n\r\n", "400"),
            ("", "400"),
            (&large, "431"),
        ] {
            assert_eq!(parsed(request), expected, "{request}");
        }
    }

    #[test]
    fn places_are_given_back() {
        let open = Arc::new(AtomicUsize::new(0));
        let places: Vec<Place> = (0..limits::HTTP_CONNECTIONS_MAX).filter_map(|_| Place::take(&open)).collect();
        assert_eq!(places.len(), limits::HTTP_CONNECTIONS_MAX);
        assert!(Place::take(&open).is_none());
        drop(places);
        assert!(Place::take(&open).is_some());
    }
}
