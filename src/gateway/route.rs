//! Which handler answers: names are checked, then path and method pick a row of [`ROUTES`] or a file of the page. What no
//! row answers is answered here. Opens no socket and keeps no state between requests.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, HeaderValue, ORIGIN,
    VARY,
};
use hyper::{Method, StatusCode};

use crate::common::error::{ErrorBody, ErrorCode};
use crate::gateway::context::{Context, Parameters, Request};
use crate::gateway::listen::Caller;
use crate::gateway::origin::{Names, Refusal};
use crate::gateway::respond::{self, Response, Static};
use crate::gateway::rest::openapi::Description;
use crate::gateway::rest::table::{ROWS, Row};
use crate::gateway::rest::{backup, blobs, claim, handler, login, nothing_at, tickets, tools, usage};
use crate::gateway::web::ASSETS;
use crate::gateway::{chat, health, identity, mcp, openai_api, protocol, rest, security_txt, sign_in};

/// Everything that is answered without the table of tools, in the order of the README. A pattern stands here once; one that
/// the table has as well is answered from here.
static ROUTES: &[Route] = &[
    Route {
        pattern: "/healthz",
        methods: &[(Method::GET, |context, caller, request| Box::pin(health::get(context, caller, request)))],
    },
    Route {
        pattern: "/.well-known/security.txt",
        methods: &[(Method::GET, |context, caller, request| Box::pin(security_txt::get(context, caller, request)))],
    },
    Route {
        pattern: "/ws/chat",
        methods: &[(Method::GET, |context, caller, request| Box::pin(chat::get(context, caller, request)))],
    },
    Route {
        pattern: "/api/protocol.json",
        methods: &[(Method::GET, |context, caller, request| Box::pin(protocol::get(context, caller, request)))],
    },
    Route {
        pattern: "/mcp",
        methods: &[
            (Method::POST, |context, caller, request| Box::pin(mcp::post(context, caller, request))),
            (Method::GET, |context, caller, request| Box::pin(mcp::get(context, caller, request))),
            (Method::DELETE, |context, caller, request| Box::pin(mcp::delete(context, caller, request))),
        ],
    },
    Route {
        pattern: "/oauth/callback",
        methods: &[(Method::GET, |context, caller, request| Box::pin(sign_in::callback(context, caller, request)))],
    },
    Route {
        pattern: "/v1/chat/completions",
        methods: &[(Method::POST, |context, caller, request| Box::pin(openai_api::complete(context, caller, request)))],
    },
    Route {
        pattern: "/v1/models",
        methods: &[(Method::GET, |context, caller, request| Box::pin(openai_api::models(context, caller, request)))],
    },
    Route {
        pattern: "/v1/models/{*id}",
        methods: &[(Method::GET, |context, caller, request| Box::pin(openai_api::one_model(context, caller, request)))],
    },
    Route {
        pattern: "/api/v1/claim",
        methods: &[
            (Method::GET, |context, caller, request| Box::pin(claim::get(context, caller, request))),
            (Method::POST, |context, caller, request| Box::pin(claim::post(context, caller, request))),
        ],
    },
    Route {
        pattern: "/api/v1/login",
        methods: &[(Method::POST, |context, caller, request| Box::pin(login::post(context, caller, request)))],
    },
    Route {
        pattern: "/api/v1/tickets",
        methods: &[(Method::POST, |context, caller, request| Box::pin(tickets::post(context, caller, request)))],
    },
    Route {
        pattern: "/api/v1/blobs",
        methods: &[(Method::POST, |context, caller, request| Box::pin(blobs::post(context, caller, request)))],
    },
    Route {
        pattern: "/api/v1/blobs/{id}",
        methods: &[(Method::GET, |context, caller, request| Box::pin(blobs::get(context, caller, request)))],
    },
    Route {
        pattern: "/api/v1/backup",
        methods: &[
            (Method::GET, |context, caller, request| Box::pin(backup::get(context, caller, request))),
            (Method::POST, |context, caller, request| Box::pin(backup::post(context, caller, request))),
        ],
    },
    Route {
        pattern: "/api/v1/usage",
        methods: &[(Method::GET, |context, caller, request| Box::pin(usage::get(context, caller, request)))],
    },
    Route {
        pattern: "/api/v1/tools",
        methods: &[(Method::GET, |context, caller, request| Box::pin(tools::list(context, caller, request)))],
    },
    Route {
        pattern: "/api/v1/tools/{name}",
        methods: &[
            (Method::GET, |context, caller, request| Box::pin(tools::get(context, caller, request))),
            (Method::POST, |context, caller, request| Box::pin(tools::call(context, caller, request))),
        ],
    },
];

/// What [`Description`] describes: the routes above, the table's rows, and itself.
const OPENAPI: &str = "/api/openapi.json";

/// A pattern (matchit's: `/api/v1/devices/{id}`) and who answers which method of it. HEAD comes with GET, and OPTIONS with all.
struct Route {
    pattern: &'static str,
    methods: &'static [(Method, Handler)],
}

type Handler = fn(Arc<Context>, Caller, Request) -> BoxFuture<'static, Response>;

/// The routes, compiled.
pub struct Routes {
    context: Arc<Context>,
    targets: matchit::Router<Target>,
}

enum Target {
    Route(&'static Route),
    /// A path whose methods are tools.
    Row(&'static Row),
    Asset(Static),
    Description(Description),
}

impl Routes {
    pub fn new(context: Arc<Context>) -> Routes {
        let routes = ROUTES.iter().map(|route| (route.pattern, Target::Route(route)));
        let is_free = |row: &&Row| ROUTES.iter().all(|route| route.pattern != row.pattern);
        let rows = ROWS.iter().filter(is_free).map(|row| (row.pattern, Target::Row(row)));
        let described =
            ROUTES.iter().flat_map(|route| route.methods.iter().map(|(method, _)| (route.pattern, method.clone())));
        let described = described.chain([(OPENAPI, Method::GET)]);
        let description = (OPENAPI, Target::Description(Description::new(context.version, described)));
        let assets = ASSETS.iter().map(|&(path, mime, bytes)| (path, Target::Asset(Static::new(mime, bytes))));
        let mut targets = matchit::Router::new();
        for (pattern, target) in routes.chain(rows).chain(assets).chain([description]) {
            targets.insert(pattern, target).expect("patterns are well-formed and differ, as a test has seen");
        }
        Routes { context, targets }
    }

    /// Answers one request.
    pub async fn answer(self: Arc<Routes>, caller: Caller, request: Request) -> Response {
        let (mut response, origin) = match self.check_names(caller.local.ip(), &request) {
            Ok(origin) => (self.pick(caller, request).await, origin),
            Err(refusal) => (refused(&refusal), None),
        };
        let headers = response.headers_mut();
        respond::harden(headers);
        if let Some(origin) = origin {
            // Fetch standard §3.2.3: an allowed page of another origin may read the answer.
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("etag, link, location, retry-after, mcp-session-id"),
            );
            headers.append(VARY, HeaderValue::from_name(ORIGIN));
        }
        response
    }

    fn check_names(&self, local: IpAddr, request: &Request) -> Result<Option<HeaderValue>, Refusal> {
        let config = self.context.config.borrow();
        let names = Names { local, hostname: &self.context.hostname, settings: &config.gateway };
        names.check(request.version(), request.uri(), request.headers())
    }

    async fn pick(&self, caller: Caller, request: Request) -> Response {
        let path = request.uri().path();
        let Ok(found) = self.targets.at(path) else {
            if (path, request.method()) == ("*", &Method::OPTIONS) {
                return options(
                    &request,
                    &allowed([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].iter()),
                );
            }
            return nothing_at(path);
        };
        let wanted = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        match found.value {
            Target::Asset(file) if wanted == Method::GET => file.answer(request.headers()),
            Target::Description(file) if wanted == Method::GET => file.answer(&self.context.tools, request.headers()),
            Target::Asset(_) | Target::Description(_) => without_handler(&request, &allowed([Method::GET].iter())),
            Target::Route(route) => match route.methods.iter().find(|(method, _)| method == wanted) {
                Some((_, handler)) => {
                    let parameters = Parameters::of(&found.params);
                    match self.known(request, route.pattern, parameters).await {
                        Ok(request) => handler(self.context.clone(), caller, request).await,
                        Err(refused) => refused,
                    }
                }
                None => without_handler(&request, &allowed(route.methods.iter().map(|(method, _)| method))),
            },
            Target::Row(row) => {
                let present: Vec<_> = row.present(&self.context.tools).collect();
                match present.iter().find(|operation| operation.method == wanted) {
                    Some(operation) => {
                        let parameters = Parameters::of(&found.params);
                        match self.known(request, row.pattern, parameters).await {
                            Ok(request) => handler::answer(self.context.clone(), row, operation, request).await,
                            Err(refused) => refused,
                        }
                    }
                    // A path without any tool is no path of this hub.
                    None if present.is_empty() => nothing_at(path),
                    None => without_handler(&request, &allowed(present.iter().map(|operation| &operation.method))),
                }
            }
        }
    }

    /// The request as handlers get it, with what the path had and with who asks; or the answer to whoever may not come in.
    async fn known(&self, mut request: Request, pattern: &str, parameters: Parameters) -> Result<Request, Response> {
        let who = identity::identify(&self.context.gate, pattern, request.headers()).await.map_err(|why| {
            let (error, is_openai) = (why.to_body(), identity::is_openai(pattern));
            let refused = if is_openai { openai_api::refused(&error) } else { rest::problem(&error) };
            identity::challenge(refused, &why)
        })?;
        request.extensions_mut().insert(parameters);
        request.extensions_mut().insert(who);
        Ok(request)
    }
}

fn refused(refusal: &Refusal) -> Response {
    let (status, code) = match refusal {
        Refusal::NoHost | Refusal::ManyHosts => (StatusCode::BAD_REQUEST, ErrorCode::BadRequest),
        Refusal::WrongHost(_) => (StatusCode::MISDIRECTED_REQUEST, ErrorCode::Forbidden),
        Refusal::WrongOrigin(_) => (StatusCode::FORBIDDEN, ErrorCode::Forbidden),
    };
    respond::problem(status, &ErrorBody::new(code, refusal.to_string()))
}

/// `Allow` (RFC 9110 §10.2.1) for what a route lists.
fn allowed<'a>(methods: impl Iterator<Item = &'a Method>) -> HeaderValue {
    let mut list = String::from("OPTIONS");
    for method in methods {
        write!(list, ", {method}").expect("a String takes any text");
        if method == Method::GET {
            list.push_str(", HEAD");
        }
    }
    HeaderValue::try_from(list).expect("method names and commas are a header value")
}

/// OPTIONS, or a method that the path does not have.
fn without_handler(request: &Request, allow: &HeaderValue) -> Response {
    if request.method() == Method::OPTIONS {
        return options(request, allow);
    }
    let detail = format!("{} has no {}", request.uri().path(), request.method());
    let mut response =
        respond::problem(StatusCode::METHOD_NOT_ALLOWED, &ErrorBody::new(ErrorCode::Unsupported, detail));
    response.headers_mut().insert(ALLOW, allow.clone());
    response
}

/// What a path can do; to a browser that asks for a page of another origin, what that page may do with it.
fn options(request: &Request, allow: &HeaderValue) -> Response {
    let mut response = respond::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ALLOW, allow.clone());
    if request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, allow.clone());
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(
                "authorization, content-type, if-match, if-none-match, last-event-id, mcp-method, mcp-name, \
                 mcp-protocol-version, mcp-session-id",
            ),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::common::config::{Config, Gateway};
    use crate::gateway::context::{BODY_BYTES_MAX, read_body};
    use crate::gateway::testing::{PATIENT, body, header, open, open_with, status};

    #[tokio::test]
    async fn every_row_keeps_the_contract() {
        let open = open(Config::default());
        let mut seen = BTreeSet::new();
        let rows = ROUTES
            .iter()
            .map(|route| (route.pattern, route.methods.iter().map(|(method, _)| method.clone()).collect()));
        let files = ASSETS.iter().map(|&(path, ..)| (path, vec![Method::GET]));
        for (pattern, methods) in rows.chain(files) {
            let methods: Vec<Method> = methods;
            assert!(pattern.starts_with('/') && seen.insert(pattern), "{pattern} stands here once");
            assert!(!methods.is_empty(), "{pattern}");
            for method in &methods {
                let answer = open.get(method.as_str(), pattern, "").await;
                assert!(!matches!(status(&answer), 0 | 405 | 500..), "{method} {pattern}: {answer}");
                assert!(!answer.contains("there is nothing at"), "{method} {pattern}: {answer}");
                assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"), "{pattern}");
                assert_eq!(header(&answer, "referrer-policy"), Some("no-referrer"), "{pattern}");
                assert!(header(&answer, "content-security-policy").is_some(), "{pattern}");
            }
            let options = open.get("OPTIONS", pattern, "").await;
            assert_eq!((status(&options), body(&options)), (204, ""), "{pattern}");
            let unknown = open.get("BREW", pattern, "").await;
            assert_eq!(status(&unknown), 405, "{pattern}");
            assert!(body(&unknown).contains(r#""code":"unsupported""#), "{unknown}");
            for answer in [&options, &unknown] {
                let allow: Vec<&str> = header(answer, "allow").expect("Allow").split(", ").collect();
                assert!(methods.iter().all(|method| allow.contains(&method.as_str())), "{pattern}: {allow:?}");
                assert_eq!(allow.contains(&"HEAD"), methods.contains(&Method::GET), "{pattern}");
            }
        }
    }

    /// What a hub says to whoever shows nothing: how it lives, what it is made of, how to come in. On the network nothing else
    /// answers, least of all before somebody owns the hub.
    #[tokio::test]
    async fn whoever_shows_nothing_gets_nothing_from_any_route() {
        use crate::common::config::Auth;
        let gateway = Gateway { auth: Auth::Required, ..Gateway::default() };
        let open = open(Config { gateway, ..Config::default() });
        let free = [
            "GET /healthz",
            "GET /.well-known/security.txt",
            "GET /api/protocol.json",
            "GET /api/v1/claim",
            "POST /api/v1/claim",
            "POST /api/v1/login",
            "GET /oauth/callback",
            // Without an upgrade it is none; who upgrades is asked by the session.
            "GET /ws/chat",
        ];
        let routes = ROUTES.iter().flat_map(|route| route.methods.iter().map(|(method, _)| (route.pattern, method)));
        let rows = ROWS.iter().flat_map(|row| row.operations.iter().map(|operation| (row.pattern, &operation.method)));
        let mut asked = BTreeSet::new();
        for (pattern, method) in routes.chain(rows) {
            let path = pattern.replace("{*id}", "x").replace(['{', '}'], "");
            let answer = open.get(method.as_str(), &path, "").await;
            let is_free = free.contains(&&*format!("{method} {pattern}"));
            // A row whose tools are not there is no path of this hub.
            let expected: &[u16] = if is_free { &[200, 400, 404, 426] } else { &[401, 404] };
            assert!(expected.contains(&status(&answer)), "{method} {path}: {answer}");
            assert!(is_free || status(&answer) == 401 || body(&answer).contains("there is nothing at"), "{answer}");
            asked.insert(format!("{method} {pattern}"));
        }
        assert!(free.iter().all(|one| asked.contains(*one)), "all that is free is there");
        assert!(asked.len() > 40, "{asked:?}");
    }

    /// Rows of the table besides; those that are meant for people or other protocols have documents of their own.
    #[tokio::test]
    async fn every_route_of_the_api_is_described() {
        let open = open(Config::default());
        let described = open.get("GET", OPENAPI, "").await;
        assert_eq!(header(&described, "content-type"), Some("application/json"), "{described}");
        let tag = header(&described, "etag").expect("a tag");
        let known = open.get("GET", OPENAPI, &format!("If-None-Match: {tag}\r\n")).await;
        assert_eq!((status(&known), body(&known)), (304, ""));
        assert_eq!(status(&open.get("POST", OPENAPI, "").await), 405);
        let document: serde_json::Value = serde_json::from_str(body(&described)).expect("JSON");
        let in_table = |pattern: &str| ROWS.iter().any(|row| row.pattern == pattern);
        for Route { pattern, methods } in ROUTES.iter().filter(|route| route.pattern.starts_with("/api/")) {
            for (method, _) in methods.iter().filter(|_| !in_table(pattern)) {
                let operation = &document["paths"][*pattern][method.as_str().to_lowercase()];
                assert!(
                    operation["operationId"].is_string(),
                    "openapi.json beside rest/openapi.rs: {method} {pattern}"
                );
            }
        }
    }

    #[tokio::test]
    async fn health_is_answered() {
        let open = open(Config::default());
        let answer = open.get("GET", "/healthz?x=1", "").await;
        assert_eq!(body(&answer), r#"{"status":"ok","version":"9.9.9","uptime_s":0}"#);
        assert_eq!(header(&answer, "content-type"), Some("application/json"));
        let head = open.get("HEAD", "/healthz", "").await;
        assert_eq!((status(&head), body(&head)), (200, ""));
        assert_eq!(header(&head, "content-length"), header(&answer, "content-length"));
    }

    #[tokio::test]
    async fn what_is_not_there_is_a_problem() {
        let open = open(Config::default());
        for path in ["/nothing", "/healthz/", "/healthz/x", "//healthz", "/../healthz", "/%68ealthz"] {
            let answer = open.get("GET", path, "").await;
            assert_eq!(
                (status(&answer), header(&answer, "content-type")),
                (404, Some("application/problem+json")),
                "{path}"
            );
            assert!(body(&answer).contains(r#""code":"not_found""#), "{answer}");
        }
        assert_eq!(status(&open.get("OPTIONS", "*", "").await), 204);
        assert_eq!(status(&open.get("OPTIONS", "/nothing", "").await), 404);
        assert_eq!(status(&open.get("GET", "http://localhost:8000/healthz", "").await), 200);
    }

    #[tokio::test]
    async fn names_are_checked_before_routes() {
        let open = open(Config::default());
        for path in ["/healthz", "/nothing", "/ws/chat"] {
            let answer =
                open.ask(format!("GET {path} HTTP/1.1\r\nHost: evil.example:8000\r\nConnection: close\r\n\r\n")).await;
            assert_eq!(status(&answer), 421, "{path}: {answer}");
            assert!(body(&answer).contains("gateway.allowed_hosts"), "{answer}");
            let answer = open.get("GET", path, "Origin: http://evil.example\r\n").await;
            assert_eq!(
                (status(&answer), header(&answer, "access-control-allow-origin")),
                (403, None),
                "{path}: {answer}"
            );
            assert!(body(&answer).contains("gateway.allowed_origins"), "{answer}");
        }
        let upgrade = "Origin: http://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
        assert_eq!(status(&open.get("GET", "/ws/chat", upgrade).await), 403);
        for bad in ["", "Host: a\r\nHost: a\r\n", "Host:\r\n", "Host: localhost@evil\r\n"] {
            let answer = open.ask(format!("GET /healthz HTTP/1.1\r\n{bad}Connection: close\r\n\r\n")).await;
            assert_eq!(status(&answer), 400, "{bad}: {answer}");
        }
        let rebound = "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        assert_eq!(status(&open.ask(rebound).await), 421);
    }

    #[tokio::test]
    async fn allowed_pages_may_read_the_answer() {
        let gateway = Gateway { allowed_origins: vec!["https://panel.example".into()], ..Gateway::default() };
        let open = open(Config { gateway, ..Config::default() });
        for origin in ["https://panel.example", "http://localhost:3000"] {
            let answer = open.get("GET", "/healthz", &format!("Origin: {origin}\r\n")).await;
            assert_eq!(header(&answer, "access-control-allow-origin"), Some(origin), "{answer}");
            assert_eq!(header(&answer, "vary"), Some("origin"));
            let preflight = format!("Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\n");
            let answer = open.get("OPTIONS", "/healthz", &preflight).await;
            assert_eq!(header(&answer, "access-control-allow-methods"), Some("OPTIONS, GET, HEAD"), "{answer}");
        }
        assert_eq!(header(&open.get("GET", "/healthz", "").await, "access-control-allow-origin"), None);
    }

    #[tokio::test]
    async fn bodies_have_a_limit() {
        let open = open_with(Config::default(), PATIENT, |_, request| async {
            match read_body(request).await {
                Ok(body) => respond::json(StatusCode::OK, &body.len()),
                Err(problem) => problem,
            }
        });
        let post = |length: usize| format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n");
        let fits =
            [format!("{}Connection: close\r\n\r\n", post(BODY_BYTES_MAX)).into_bytes(), vec![b'x'; BODY_BYTES_MAX]];
        assert_eq!(body(&open.ask(fits.concat()).await), BODY_BYTES_MAX.to_string());
        let told = [format!("{}\r\n", post(BODY_BYTES_MAX + 1)).into_bytes(), vec![b'x'; BODY_BYTES_MAX + 1]];
        assert_eq!(status(&open.ask(told.concat()).await), 413);
        let asked = open.ask(format!("{}Expect: 100-continue\r\n\r\n", post(BODY_BYTES_MAX + 1))).await;
        assert_eq!(status(&asked), 413, "{asked}");
        let mut chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..=BODY_BYTES_MAX / 4096 {
            chunked.extend_from_slice(b"1000\r\n");
            chunked.extend_from_slice(&[b'x'; 4096]);
            chunked.extend_from_slice(b"\r\n");
        }
        assert_eq!(status(&open.ask(chunked).await), 413);
        let broken = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n";
        assert_eq!(status(&open.ask(broken).await), 400);
    }
}
