//! `/graph/…`: questions to a code graph, where the service was given one.

use super::problem::Problem;
use super::tasks::Tasks;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use krins_protocol::error::{ErrorKind, ErrorReport};
use krins_protocol::graph::{GraphParams, Question};
use std::sync::Arc;

/// `GET /graph/{question}?target=…`.
pub async fn ask(
    State(tasks): State<Arc<Tasks>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let question = known(&name)?;
    answer(&tasks, question, read(query.as_deref().unwrap_or_default())?).await
}

/// `POST /graph/{question}` with the params as JSON: a patch is too long for an address.
pub async fn ask_at_length(
    State(tasks): State<Arc<Tasks>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let question = known(&name)?;
    let params = super::routes::read_json(&headers, body, "params")?;
    answer(&tasks, question, params).await
}

fn known(name: &str) -> Result<Question, Problem> {
    Question::of(name).ok_or_else(|| {
        let known: Vec<&str> = Question::ALL.iter().map(|question| question.name()).collect();
        Problem::new(ErrorKind::BadParams, "find the page: the graph has no such question")
            .status(StatusCode::NOT_FOUND)
            .hint(format!("it has {}", known.join(", ")))
    })
}

/// `target` and `uri` may stand there more than once.
fn read(query: &str) -> Result<GraphParams, Problem> {
    let mut params = GraphParams::default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let number = || {
            value.parse().map(Some).map_err(|_| {
                Problem::new(ErrorKind::BadParams, format!("read the query: {name} is not a whole number"))
            })
        };
        match &*name {
            "target" => params.targets.push(value.into_owned()),
            "from" => params.from = Some(value.into_owned()),
            "to" => params.to = Some(value.into_owned()),
            "depth" => params.depth = number()?,
            "limit" => params.limit = number()?,
            "patience" => params.patience = number()?,
            _ => {
                let name: String = name.chars().take(40).collect();
                return Err(Problem::new(ErrorKind::BadParams, format!("read the query: {name:?} is not known"))
                    .hint("the graph takes target (more than once), from, to, depth, limit and patience"));
            }
        }
    }
    Ok(params)
}

async fn answer(tasks: &Tasks, question: Question, params: GraphParams) -> Result<Response, Problem> {
    let Some(graph) = tasks.config.graph.clone() else {
        return Err(Problem::new(ErrorKind::BadParams, "find the page: this service has no code graph")
            .status(StatusCode::NOT_FOUND)
            .hint("start it with `krins serve --root DIR`"));
    };
    let room = Arc::clone(&tasks.questions).acquire_owned().await;
    let room = room.map_err(|error| Problem::internal("answer the question", &error))?;
    let asked = tokio::task::spawn_blocking(move || {
        let _room = room;
        graph.answer(question, &params)
    })
    .await;
    match asked {
        Ok(Ok(answer)) => Ok(Json(answer).into_response()),
        Ok(Err(ErrorReport { message, data })) => {
            let problem = Problem::new(data.kind, message);
            Err(match data.hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            })
        }
        Err(error) => Err(Problem::internal("answer the question", &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_is_asked() {
        let params = read("target=src%2Fa.ts%23b&target=c+d&from=x&to=y&depth=2&limit=9&patience=0").unwrap();
        assert_eq!(params.targets, ["src/a.ts#b", "c d"]);
        assert_eq!((params.from.as_deref(), params.to.as_deref()), (Some("x"), Some("y")));
        assert_eq!((params.depth, params.limit), (Some(2), Some(9)));
        assert_eq!(params.patience, Some(0));
        for bad in ["depth=many", "limit=-1", "colour=red"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read("").unwrap(), GraphParams::default());
    }
}
