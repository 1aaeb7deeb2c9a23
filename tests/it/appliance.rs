//! A card's first hours with the real binary: what its owner wrote is taken before the hub starts, the report says how to claim it,
//! and says it no more when somebody has.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use crate::world::process::{House, Process, hearth, run};

const OWN: &str = "hostname: Kitchen\ntimezone: Nowhere\nwifi: { ssid: house, passphrase: hunter2hunter2 }\n";

#[tokio::test]
async fn a_card_is_set_up_reported_claimed_and_reported_again() {
    let house = House::new("providers: { active: assistant, fallback: [] }\n");
    let (boot, root) = (house.path("boot"), house.path("root"));
    fs::create_dir_all(&boot).expect("room");
    fs::create_dir_all(Path::new(&root).join("proc/net")).expect("room");
    fs::write(Path::new(&boot).join("hearth.yaml"), OWN).expect("room");
    let trie = "Local:\n     |-- 192.168.1.20\n        /32 host LOCAL\n";
    fs::write(Path::new(&root).join("proc/net/fib_trie"), trie).expect("room");

    let mut command = hearth(["setup"]);
    command.args(["--boot", &boot, "--root", &root]);
    let ended = run(command).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    assert!(ended.err.contains("hearth.yaml:2:11: `timezone`"), "{}", ended.err);
    assert!(!format!("{}{}", ended.out, ended.err).contains("hunter2"), "{}", ended.out);
    let left = fs::read_to_string(Path::new(&boot).join("hearth.yaml")).expect("still there");
    assert!(left.contains("hostname: Kitchen") && !left.contains("hunter2"), "{left}");
    let code = fs::read_to_string(Path::new(&root).join("var/lib/hearth/claim-code")).expect("a code");
    let code = code.trim();

    // The hub of this test lives elsewhere.
    fs::write(house.path("claim-code"), code).expect("room");
    let mut command = house.command();
    command.env("HEARTH__GATEWAY__AUTH", "required");
    let process = Process::start(command, "");
    let address: SocketAddr = process.address().await;
    process.log(|line| line["code"] == code).await;
    let report = async || {
        let mut command = hearth(["report"]);
        let screen = house.path("screen");
        command.args(["--boot", &boot, "--root", &root, "--screen", &screen, "--config", &house.path("config.yaml")]);
        command.env("HEARTH__GATEWAY__PORT", address.port().to_string());
        let ended = run(command).await;
        assert_eq!(ended.code(), Some(0), "{}", ended.err);
        let file = fs::read_to_string(Path::new(&boot).join("hearth-report.txt")).expect("a report");
        (ended.out, file, fs::read_to_string(screen).expect("a screen"))
    };
    let (said, file, screen) = report().await;
    assert_eq!(said.trim(), "written");
    for text in [&file, &screen] {
        assert!(text.contains(&format!("  {code}\n")) && text.contains('█'), "{text}");
        assert!(text.contains(&format!("http://192.168.1.20:{}/", address.port())), "{text}");
        assert!(text.contains("hearth.yaml:2:11: `timezone`") && !text.contains("hunter2"), "{text}");
    }
    assert!(file.contains("provider assistant") && file.contains("disk"), "{file}");
    assert_eq!(report().await.0.trim(), "nothing has changed");

    let claim = json!({"code": code, "name": "ann"}).to_string();
    let url = format!("http://{address}/api/v1/claim");
    let claimed = tokio::task::spawn_blocking(move || {
        ureq::post(&url).header("content-type", "application/json").send(claim).map(|answer| answer.status().as_u16())
    });
    assert_eq!(claimed.await.expect("no panic").expect("an answer"), 201);
    let (said, file, screen) = report().await;
    assert_eq!(said.trim(), "written");
    assert!(!file.contains(code) && !screen.contains(code) && !screen.contains('█'), "{file}");
}
