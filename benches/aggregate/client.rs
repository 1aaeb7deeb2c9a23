//! An MCP client that costs next to nothing, so that what is measured is the other side: blocking sockets, HTTP/1.1 that is
//! kept open, Streamable HTTP or the older way with SSE.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The longest wait for one answer. Bytes alone are none: a server may say every few seconds that it is still there.
const PATIENCE: Duration = Duration::from_secs(60);

/// How an endpoint is spoken to.
#[derive(Clone, Copy, PartialEq)]
pub enum Wire {
    Streamable,
    Sse,
}

/// One session at one endpoint.
pub struct Client {
    address: SocketAddr,
    path: String,
    session: Option<String>,
    line: BufReader<TcpStream>,
    /// Where answers come, where they do not come by `line`.
    events: Option<BufReader<TcpStream>>,
    next: u64,
}

type Outcome<T> = Result<T, String>;

impl Client {
    /// Connects and says hello.
    pub fn open(address: SocketAddr, path: &str, wire: Wire) -> Outcome<Client> {
        let mut client =
            Client { address, path: path.into(), session: None, line: dial(address)?, events: None, next: 1 };
        if wire == Wire::Sse {
            client.listen()?;
        }
        let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "bench", "version": "1" } });
        client.request("initialize", &hello)?;
        let said = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        client.post(&said)?;
        Ok(client)
    }

    /// One request and its result.
    pub fn request(&mut self, method: &str, params: &Value) -> Outcome<Value> {
        let text = self.answer(method, params)?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["result"].take()),
        }
    }

    /// One request and its answer as it came: reading a list of a thousand tools takes longer than most take to write it.
    pub fn answer(&mut self, method: &str, params: &Value) -> Outcome<String> {
        let id = self.next;
        self.next += 1;
        let sent = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let told = self.post(&sent)?;
        match &mut self.events {
            None => told.ok_or("no answer".into()),
            Some(events) => answer_to(events, id),
        }
    }

    /// All tools, page after page.
    pub fn tools(&mut self) -> Outcome<Vec<Value>> {
        let (mut tools, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let params = if cursor.is_null() { json!({}) } else { json!({ "cursor": cursor }) };
            let mut page = self.request("tools/list", &params)?;
            tools.extend(page["tools"].as_array_mut().map(std::mem::take).unwrap_or_default());
            cursor = page["nextCursor"].take();
            if cursor.is_null() {
                return Ok(tools);
            }
        }
    }

    fn post(&mut self, body: &Value) -> Outcome<Option<String>> {
        let body = body.to_string();
        let session = self.session.as_ref().map(|id| format!("Mcp-Session-Id: {id}\r\n")).unwrap_or_default();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
             MCP-Protocol-Version: 2025-06-18\r\n{session}Content-Length: {}\r\n\r\n",
            self.path,
            self.address,
            body.len()
        );
        let sent = [head.as_bytes(), body.as_bytes()].concat();
        if self.line.get_mut().write_all(&sent).is_err() {
            // A server may close between two requests.
            self.line = dial(self.address)?;
            self.line.get_mut().write_all(&sent).map_err(told)?;
        }
        let head = Head::read(&mut self.line)?;
        if let Some(id) = head.field("mcp-session-id") {
            self.session = Some(id);
        }
        let is_stream = head.field("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        let body = head.body(&mut self.line)?;
        if head.status >= 400 {
            return Err(format!("{} {body}", head.status));
        }
        if is_stream {
            // The answer is the last event of its stream.
            let mut data = body.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
            return Ok(data.rfind(|data| !data.is_empty()).map(ToOwned::to_owned));
        }
        Ok(Some(body))
    }

    fn listen(&mut self) -> Outcome<()> {
        let mut events = dial(self.address)?;
        let head = format!("GET {} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n", self.path, self.address);
        events.get_mut().write_all(head.as_bytes()).map_err(told)?;
        Head::read(&mut events)?;
        let mut line = String::new();
        while !line.starts_with("data:") {
            line.clear();
            if events.read_line(&mut line).map_err(told)? == 0 {
                return Err("the event stream ended".into());
            }
        }
        self.path = line["data:".len()..].trim().into();
        self.events = Some(events);
        Ok(())
    }
}

/// Lines of chunk sizes stand between the events and are passed over: no event of ours begins like one.
fn answer_to(events: &mut BufReader<TcpStream>, id: u64) -> Outcome<String> {
    let (mut line, wanted) = (String::new(), [format!("\"id\":{id},"), format!("\"id\":{id}}}")]);
    let by = Instant::now() + PATIENCE;
    loop {
        in_time(by)?;
        line.clear();
        if events.read_line(&mut line).map_err(told)? == 0 {
            return Err("the event stream ended".into());
        }
        let Some(data) = line.strip_prefix("data:") else { continue };
        if wanted.iter().any(|wanted| data.contains(wanted)) {
            return Ok(data.trim().to_owned());
        }
    }
}

struct Head {
    status: u16,
    fields: Vec<(String, String)>,
}

impl Head {
    fn read(line: &mut BufReader<TcpStream>) -> Outcome<Head> {
        let mut text = String::new();
        line.read_line(&mut text).map_err(told)?;
        let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(format!("no HTTP: {text:?}"))?;
        let mut fields = Vec::new();
        loop {
            text.clear();
            line.read_line(&mut text).map_err(told)?;
            let Some((name, value)) = text.split_once(':') else { return Ok(Head { status, fields }) };
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn field(&self, name: &str) -> Option<String> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    fn body(&self, line: &mut BufReader<TcpStream>) -> Outcome<String> {
        let (mut body, by) = (Vec::new(), Instant::now() + PATIENCE);
        if self.field("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            loop {
                in_time(by)?;
                let mut size = String::new();
                line.read_line(&mut size).map_err(told)?;
                let size = usize::from_str_radix(size.trim(), 16).map_err(|error| error.to_string())?;
                let mut chunk = vec![0; size + 2];
                line.read_exact(&mut chunk).map_err(told)?;
                if size == 0 {
                    break;
                }
                body.extend_from_slice(&chunk[..size]);
            }
        } else {
            let size = self.field("content-length").and_then(|size| size.parse().ok()).unwrap_or(0);
            body.resize(size, 0);
            line.read_exact(&mut body).map_err(told)?;
        }
        String::from_utf8(body).map_err(|error| error.to_string())
    }
}

fn dial(address: SocketAddr) -> Outcome<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address).map_err(told)?;
    stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PATIENCE))).map_err(told)?;
    Ok(BufReader::with_capacity(64 * 1024, stream))
}

fn in_time(by: Instant) -> Outcome<()> {
    if Instant::now() < by { Ok(()) } else { Err(format!("no answer within {} s", PATIENCE.as_secs())) }
}

fn told(error: std::io::Error) -> String {
    error.to_string()
}
