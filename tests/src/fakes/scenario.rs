//! What a fake does at which attempt.

/// A fault, or none. "Then ok" means that every later attempt is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    Ok,
    /// One 429 with `Retry-After` (and, for Gemini, RetryInfo) of this many milliseconds.
    RateLimitedThenOk {
        retry_after_ms: u64,
    },
    RateLimited,
    /// 429 with a wait that no ask can afford.
    RateLimitedForLong,
    /// A 429 that no waiting clears.
    QuotaExhausted,
    ServerErrorThenOk,
    ServerError,
    /// 500 with `x-should-retry: false`.
    ServerErrorNoRetry,
    Unavailable,
    /// 529, as Anthropic says it.
    Overloaded,
    OverloadedThenOk,
    /// Status 200, some text, then an error in the stream.
    OverloadedInStream,
    OverloadedInStreamThenOk,
    ResetThenOk,
    Reset,
    /// Accepts, and never says anything.
    Silent,
    /// Headers and keep-alives at once, text late.
    SlowFirstToken,
    /// Half of the text, then the connection is gone.
    Cut,
    /// Half of the text, then the connection is closed as if all were well.
    CutCleanly,
    /// All of the text, but not why it ended.
    NoFinish,
    /// Half of the text, then nothing more.
    Stall,
    MalformedEvent,
    /// Whole, but without what says that the stream is over (`[DONE]`, `message_stop`).
    NoDone,
    ContextLength,
    /// The request is refused by a filter.
    ContentFilter,
    /// The model stops with a refusal.
    Refusal,
    OutputLimit,
    BadKey,
    UnknownModel,
    /// Bytes that are no stream.
    Garbage,
    /// A captive portal.
    HtmlPage,
    /// 502 with a page of a proxy.
    HtmlErrorPage,
    /// 307 to another path of the same server.
    Redirect,
    /// No usage figures anywhere.
    NoUsage,
}

impl Scenario {
    pub const ALL: [Scenario; 34] = [
        Self::Ok,
        Self::RateLimitedThenOk { retry_after_ms: 300 },
        Self::RateLimited,
        Self::RateLimitedForLong,
        Self::QuotaExhausted,
        Self::ServerErrorThenOk,
        Self::ServerError,
        Self::ServerErrorNoRetry,
        Self::Unavailable,
        Self::Overloaded,
        Self::OverloadedThenOk,
        Self::OverloadedInStream,
        Self::OverloadedInStreamThenOk,
        Self::ResetThenOk,
        Self::Reset,
        Self::Silent,
        Self::SlowFirstToken,
        Self::Cut,
        Self::CutCleanly,
        Self::NoFinish,
        Self::Stall,
        Self::MalformedEvent,
        Self::NoDone,
        Self::ContextLength,
        Self::ContentFilter,
        Self::Refusal,
        Self::OutputLimit,
        Self::BadKey,
        Self::UnknownModel,
        Self::Garbage,
        Self::HtmlPage,
        Self::HtmlErrorPage,
        Self::Redirect,
        Self::NoUsage,
    ];

    /// What happens at the attempt (from 0).
    pub(super) fn act(self, attempt: usize) -> Act {
        let first = attempt == 0;
        let once = |act: Act| if first { act } else { Act::Stream(Ending::Whole) };
        match self {
            Self::Ok => Act::Stream(Ending::Whole),
            Self::RateLimitedThenOk { retry_after_ms } => once(Act::Refuse(Refusal::RateLimit(Some(retry_after_ms)))),
            Self::RateLimited => Act::Refuse(Refusal::RateLimit(None)),
            Self::RateLimitedForLong => Act::Refuse(Refusal::RateLimit(Some(3_600_000))),
            Self::QuotaExhausted => Act::Refuse(Refusal::Quota),
            Self::ServerErrorThenOk => once(Act::Refuse(Refusal::Server)),
            Self::ServerError => Act::Refuse(Refusal::Server),
            Self::ServerErrorNoRetry => Act::Refuse(Refusal::ServerNoRetry),
            Self::Unavailable => Act::Refuse(Refusal::Unavailable),
            Self::Overloaded => Act::Refuse(Refusal::Overloaded),
            Self::OverloadedThenOk => once(Act::Refuse(Refusal::Overloaded)),
            Self::OverloadedInStream => Act::Stream(Ending::Error),
            Self::OverloadedInStreamThenOk => once(Act::Stream(Ending::Error)),
            Self::ResetThenOk => once(Act::Reset),
            Self::Reset => Act::Reset,
            Self::Silent => Act::Silent,
            Self::SlowFirstToken => Act::Stream(Ending::Late),
            Self::Cut => Act::Stream(Ending::Cut),
            Self::CutCleanly => Act::Stream(Ending::CutCleanly),
            Self::NoFinish => Act::Stream(Ending::NoFinish),
            Self::Stall => Act::Stream(Ending::Stall),
            Self::MalformedEvent => Act::Stream(Ending::Malformed),
            Self::NoDone => Act::Stream(Ending::NoDone),
            Self::ContextLength => Act::Refuse(Refusal::ContextLength),
            Self::ContentFilter => Act::Refuse(Refusal::ContentFilter),
            Self::Refusal => Act::Stream(Ending::Refusal),
            Self::OutputLimit => Act::Stream(Ending::OutputLimit),
            Self::BadKey => Act::Refuse(Refusal::BadKey),
            Self::UnknownModel => Act::Refuse(Refusal::UnknownModel),
            Self::Garbage => Act::Garbage,
            Self::HtmlPage => Act::Page,
            Self::HtmlErrorPage => Act::Refuse(Refusal::Html),
            Self::Redirect => Act::Redirect,
            Self::NoUsage => Act::Stream(Ending::NoUsage),
        }
    }
}

/// What happens on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Stream(Ending),
    Refuse(Refusal),
    Reset,
    Silent,
    Page,
    Garbage,
    Redirect,
}

impl Act {
    /// Whether the connection is not used again.
    pub fn closes(self) -> bool {
        match self {
            Self::Stream(ending) => matches!(ending, Ending::Cut | Ending::Stall),
            Self::Reset | Self::Silent => true,
            Self::Refuse(_) | Self::Page | Self::Garbage | Self::Redirect => false,
        }
    }
}

/// How a stream goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    NoUsage,
    NoDone,
    NoFinish,
    Late,
    Cut,
    CutCleanly,
    Stall,
    Malformed,
    Error,
    Refusal,
    OutputLimit,
}

/// Which error response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// With the wait in milliseconds.
    RateLimit(Option<u64>),
    Quota,
    Server,
    ServerNoRetry,
    Unavailable,
    Overloaded,
    ContextLength,
    ContentFilter,
    BadKey,
    UnknownModel,
    Html,
}
