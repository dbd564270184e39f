// SPDX-License-Identifier: MIT
// tokio-server PORT TAG [reuseport]: HTTP/1.1 with keep-alive, downloads and uploads; streams of lines.
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    tokio::runtime::Runtime::new()?.block_on(serve(words))
}

async fn serve(words: Vec<String>) -> Result<()> {
    let port: u16 = words[0].parse().map_err(|error| Error::new(ErrorKind::InvalidInput, error))?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let listener = if words.get(2).map_or(false, |word| word == "reuseport") {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        socket.listen(1024)?
    } else {
        TcpListener::bind(address).await?
    };
    loop {
        let (connection, _) = listener.accept().await?;
        let tag = words[1].clone();
        tokio::spawn(async move {
            let _ = answer(connection, tag).await; // a client that goes away is no event
        });
    }
}

async fn answer(connection: TcpStream, tag: String) -> Result<()> {
    let mut connection = BufReader::new(connection);
    while let Some((path, head)) = request(&mut connection).await? {
        if head.contains("upgrade: lines") {
            return stream(connection, tag).await;
        }
        let mut upload = vec![0; value(&head, "content-length: ").unwrap_or(0)];
        connection.read_exact(&mut upload).await?;
        let body = match path.as_str() {
            "/download" => format!("{} ", tag).repeat(1 << 20),
            "/upload" => format!("GEN {} {} bytes, sum {}\n", tag, upload.len(), sum(&upload)),
            _ => format!("GEN {} tokio\n", tag),
        };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.len(), body);
        connection.write_all(answer.as_bytes()).await?;
        if head.contains("connection: close") {
            break;
        }
    }
    connection.shutdown().await
}

/// The path and the headers in lower case; nothing if the client has closed its side.
async fn request(connection: &mut BufReader<TcpStream>) -> Result<Option<(String, String)>> {
    let mut first = String::new();
    if connection.read_line(&mut first).await? == 0 {
        return Ok(None);
    }
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            return Ok(first.split(' ').nth(1).map(|path| (path.to_owned(), head)));
        }
        head += &line.to_lowercase();
    }
}

fn value(head: &str, name: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix(name)).and_then(|text| text.trim().parse().ok())
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

/// Sends numbered lines and counts the client's, until one of these says "end".
async fn stream(connection: BufReader<TcpStream>, tag: String) -> Result<()> {
    let (reader, mut writer) = connection.into_inner().into_split();
    writer.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: lines\r\n\r\n").await?;
    let client = tokio::spawn(async move {
        let mut lines = BufReader::new(reader).lines();
        let mut received = 0;
        while let Some(line) = lines.next_line().await? {
            if line == "end" {
                return Ok(received);
            }
            received += 1;
        }
        Err(Error::from(ErrorKind::UnexpectedEof))
    });
    let mut sent = 0;
    while !client.is_finished() {
        sent += 1;
        writer.write_all(format!("{} {}\n", tag, sent).as_bytes()).await?;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let received = client.await??;
    writer.write_all(format!("{} end {} {}\n", tag, sent, received).as_bytes()).await?;
    writer.shutdown().await
}
