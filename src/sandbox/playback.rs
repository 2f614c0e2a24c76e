//! Plays prepared bytes to a client: in chunks, at a pace, to the end that the script gives them.
//!
//! Everything is prepared before the first byte leaves; playing costs a slice and, with a pace, a
//! timer. A client that leaves drops the stream, and with it all that is left to do.

use std::time::Duration;
use std::vec;

use bytes::Bytes;
use futures_util::stream::{self, Stream};

use super::script::{Chunking, NumberOption, Script};

/// How long silence lasts: longer than any client waits, and not for ever.
const SILENCE: Duration = Duration::from_mins(10);

/// Lets what was written reach the socket before the connection goes.
const FLUSH: Duration = Duration::from_millis(50);

/// The sandbox breaks the connection, because the script says so.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox cut the connection on request")]
pub(super) struct ConnectionCut;

/// What follows the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlaybackEnd {
    Clean,
    Cut,
    Silent,
}

enum Cuts {
    At(vec::IntoIter<usize>),
    Every(usize),
}

/// What is left to play.
pub(super) struct Playback {
    bytes: Bytes,
    played: usize,
    cuts: Cuts,
    wait: Duration,
    pace: Duration,
    end: PlaybackEnd,
    over: bool,
}

impl Playback {
    /// Plays a stream whose events end at `ends`.
    pub(super) fn of_events(bytes: Bytes, ends: Vec<usize>, script: &Script) -> Self {
        let cuts = match script.chunking {
            Chunking::Event => Cuts::At(ends.into_iter()),
            Chunking::All => Cuts::Every(usize::MAX),
            Chunking::Every(size) => Cuts::Every(size),
        };
        Self::new(bytes, cuts, script)
    }

    /// Plays half of a JSON body: what arrives of one that breaks.
    pub(super) fn of_half(bytes: &Bytes, script: &Script) -> Self {
        let half = bytes.slice(..bytes.len() / 2);
        Self::new(half, Cuts::Every(usize::MAX), script)
    }

    fn new(bytes: Bytes, cuts: Cuts, script: &Script) -> Self {
        let millis = |key| Duration::from_millis(script.number(key).unwrap_or(0));
        // Of several breaks the first one happens.
        let breaks = [
            (NumberOption::ErrorAt, PlaybackEnd::Clean),
            (NumberOption::CutAt, PlaybackEnd::Cut),
            (NumberOption::EndAt, PlaybackEnd::Clean),
            (NumberOption::SilentAt, PlaybackEnd::Silent),
        ];
        let first = breaks
            .into_iter()
            .filter_map(|(key, end)| script.number(key).map(|at| (at, end)))
            .min_by_key(|(at, _)| *at);
        Self {
            bytes,
            played: 0,
            cuts,
            wait: millis(NumberOption::FirstMs),
            pace: millis(NumberOption::PaceMs),
            end: first.map_or(PlaybackEnd::Clean, |(_, end)| end),
            over: false,
        }
    }

    /// The body of a response.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, ConnectionCut>> + 'static {
        stream::unfold(self, |mut playback| async move {
            let item = playback.next().await?;
            Some((item, playback))
        })
    }

    async fn next(&mut self) -> Option<Result<Bytes, ConnectionCut>> {
        if self.over {
            return None;
        }
        pause(std::mem::replace(&mut self.wait, self.pace)).await;
        if let Some(chunk) = self.chunk() {
            return Some(Ok(chunk));
        }
        self.over = true;
        match self.end {
            PlaybackEnd::Clean => return None,
            PlaybackEnd::Cut => pause(FLUSH).await,
            PlaybackEnd::Silent => pause(SILENCE).await,
        }
        Some(Err(ConnectionCut))
    }

    fn chunk(&mut self) -> Option<Bytes> {
        let size = match &mut self.cuts {
            Cuts::At(ends) => ends.next()?.saturating_sub(self.played),
            Cuts::Every(size) => (*size).min(self.bytes.len()),
        };
        self.played = self.played.saturating_add(size);
        (size > 0 && size <= self.bytes.len()).then(|| self.bytes.split_to(size))
    }
}

async fn pause(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    async fn play(script: &str) -> Vec<Option<Bytes>> {
        let script: Script = script.parse().expect("a valid script");
        let bytes = Bytes::from_static(b"one two three ");
        let playback = Playback::of_events(bytes, vec![4, 8, 14], &script);
        playback.into_stream().map(Result::ok).collect().await
    }

    fn chunks(of: &[&'static str]) -> Vec<Option<Bytes>> {
        of.iter().map(|chunk| Some(Bytes::from_static(chunk.as_bytes()))).collect()
    }

    #[actix_web::test]
    async fn bytes_are_cut_where_the_script_says() {
        assert_eq!(play("").await, chunks(&["one ", "two ", "three "]));
        assert_eq!(play("chunk=all").await, chunks(&["one two three "]));
        assert_eq!(play("chunk=6").await, chunks(&["one tw", "o thre", "e "]));
    }

    #[actix_web::test]
    async fn a_cut_is_an_error_after_the_last_byte() {
        let mut expected = chunks(&["one ", "two ", "three "]);
        expected.push(None);
        assert_eq!(play("cut_at=3").await, expected);
        assert_eq!(play("cut_at=3;end_at=2").await.last(), chunks(&["three "]).last());
    }
}
