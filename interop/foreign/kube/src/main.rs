//! kube-rs as its manual uses it: the cluster is the one that a run's kubeconfig names. Usage: kube-client-of-the-tests NAMESPACE PORT
//!
//! In the pod `box` of the namespace `default` programs can be started; PORT is one of its own, with an echo.

use std::error::Error;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{
    Api, ApiResource, AttachParams, AttachedProcess, DeleteParams, DynamicObject, ListParams, Patch,
    PatchParams, PostParams,
};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Outcome = Result<(), Box<dyn Error>>;

/// One conversation, with all that it waits for.
const SECONDS_MAX: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let words: Vec<String> = std::env::args().collect();
    let client = Client::try_default().await?;
    let all = async {
        objects(&client, &words[1]).await?;
        println!("objects");
        watched(&client, &words[1]).await?;
        println!("watched");
        secrets(&client, &words[1]).await?;
        println!("secrets");
        executed(&client).await?;
        println!("executed");
        forwarded(&client, words[2].parse()?).await?;
        println!("forwarded");
        Ok::<(), Box<dyn Error>>(())
    };
    tokio::time::timeout(SECONDS_MAX, all).await??;
    println!("kube: done");
    Ok(())
}

fn check<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expect: T) -> Outcome {
    if got == expect { Ok(()) } else { Err(format!("{what}: {got:?}, not {expect:?}").into()) }
}

fn map(name: &str, n: usize) -> ConfigMap {
    let made = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": n.to_string()}});
    serde_json::from_value(made).unwrap_or_default()
}

async fn objects(client: &Client, namespace: &str) -> Outcome {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    for n in 0..5 {
        maps.create(&PostParams::default(), &map(&format!("m-{n}"), n)).await?;
    }
    let mut page = ListParams::default().limit(2).fields("metadata.name!=given");
    let mut names = Vec::new();
    loop {
        let list = maps.list(&page).await?;
        names.extend(list.iter().map(|one| one.name_any()));
        match list.metadata.continue_.filter(|more| !more.is_empty()) {
            Some(more) => page = page.continue_token(&more),
            None => break,
        }
    }
    check("pages", names, (0..5).map(|n| format!("m-{n}")).collect())?;
    let given = maps.get("given").await?.data.unwrap_or_default();
    check("a value", given.get("number").map(String::as_str), Some("[pii.ssn]"))?;
    let applied =
        maps.patch("m-0", &PatchParams::apply("tests").force(), &Patch::Apply(map("m-0", 7))).await?;
    check("apply", applied.data.unwrap_or_default().get("n").cloned(), Some("7".to_owned()))?;
    let merge = json!({"data": {"n": "8"}});
    let merged = maps.patch("m-0", &PatchParams::default(), &Patch::Merge(&merge)).await?;
    check("merge", merged.data.unwrap_or_default().get("n").cloned(), Some("8".to_owned()))?;
    match maps.get("none").await {
        Err(kube::Error::Api(said)) => check("none", said.code, 404)?,
        other => return Err(format!("none: {other:?}").into()),
    }
    match maps.delete("m-4", &DeleteParams::default()).await {
        Err(kube::Error::Api(said)) => {
            check("what a rule forbids", (said.code, &*said.message), (403, "This one stays."))?
        }
        other => return Err(format!("what a rule forbids: {other:?}").into()),
    }
    Ok(())
}

async fn watched(client: &Client, namespace: &str) -> Outcome {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let config = watcher::Config::default().fields("metadata.name=m-1");
    let mut events = watcher(maps.clone(), config).applied_objects().boxed();
    for n in ["1", "2", "3"] {
        let seen = events.try_next().await?.ok_or("the watch ended")?;
        check("an event", seen.data.unwrap_or_default().get("n").cloned(), Some(n.to_owned()))?;
        let next = json!({"data": {"n": (n.parse::<u32>()? + 1).to_string()}});
        maps.patch("m-1", &PatchParams::default(), &Patch::Merge(&next)).await?;
    }
    Ok(())
}

/// A mask is base64, as a typed secret has its values.
async fn secrets(client: &Client, namespace: &str) -> Outcome {
    let typed: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let values = typed.get("s").await?.data.unwrap_or_default();
    check("a typed secret", values.into_values().map(|value| value.0).collect(), vec![b"[secret.kubernetes]".to_vec()])?;
    let kind = ApiResource::erase::<Secret>(&());
    let any: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    check("a secret", &any.get("s").await?.data["data"], &json!({"password": "W3NlY3JldC5rdWJlcm5ldGVzXQ=="}))
}

async fn all_of(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> Result<String, Box<dyn Error>> {
    let mut said = String::new();
    stream.ok_or("no such stream")?.read_to_string(&mut said).await?;
    Ok(said)
}

async fn executed(client: &Client) -> Outcome {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let script = "read line; echo got $line; a=536-22; echo $a-8391 >&2; exit 7";
    let how = AttachParams::default().stdin(true).stdout(true).stderr(true);
    let mut process: AttachedProcess = pods.exec("box", ["sh", "-c", script], &how).await?;
    let status = process.take_status().ok_or("no status")?;
    let mut input = process.stdin().ok_or("no input")?;
    input.write_all(b"a line\n").await?;
    let (out, err) = (process.stdout(), process.stderr());
    let (out, err) = futures::try_join!(all_of(out), all_of(err))?;
    check("output", (&*out, &*err), ("got a line\n", "[pii.ssn]\n"))?;
    let status = status.await.ok_or("no status came")?;
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    check("status", causes.first().and_then(|cause| cause.message.as_deref()), Some("7"))?;
    Ok(())
}

async fn forwarded(client: &Client, port: u16) -> Outcome {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let mut forward = pods.portforward("box", &[port]).await?;
    let mut stream = forward.take_stream(port).ok_or("no stream")?;
    stream.write_all(b"to and fro").await?;
    let mut back = [0; 10];
    stream.read_exact(&mut back).await?;
    check("an echo", &back, b"to and fro")
}
