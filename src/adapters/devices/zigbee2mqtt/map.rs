//! Zigbee2MQTT's network map (`networkmap`, type `raw`) as the hub shows maps: who hears whom, how well, and who sends on.

use serde_json::{Value, json};

use super::listed::device_id;

/// Neighbours of all devices; 200 routers with 16 each.
const LINKS_MAX: usize = 4096;

/// Devices.
const NODES_MAX: usize = 1024;

/// `{"nodes": […], "links": […]}`. A link goes from the device that was heard to the one that heard it.
pub fn map(raw: &Value) -> Value {
    let list = |key: &str| raw[key].as_array().into_iter().flatten();
    let node = |node: &Value| {
        let id = device_id(node["ieeeAddr"].as_str()?)?;
        Some(json!({
            "id": id.0,
            "name": node["friendlyName"],
            "type": node["type"],
            "network_address": node["networkAddress"],
            "failed": node["failed"],
        }))
    };
    let link = |link: &Value| {
        let end = |key: &str| device_id(link[key]["ieeeAddr"].as_str()?);
        let routes = link["routes"].as_array().map_or(0, Vec::len);
        Some(json!({
            "from": end("source")?.0,
            "to": end("target")?.0,
            "lqi": link["lqi"],
            "depth": link["depth"],
            "relationship": link["relationship"],
            "routes": routes,
        }))
    };
    json!({
        "nodes": list("nodes").take(NODES_MAX).filter_map(node).collect::<Vec<_>>(),
        "links": list("links").take(LINKS_MAX).filter_map(link).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_links_are_named_by_address() {
        let found = map(&json!({
            "nodes": [{"ieeeAddr": "0x00124b0014b5c001", "friendlyName": "Coordinator", "type": "Coordinator", "networkAddress": 0}, 7],
            "links": [{"source": {"ieeeAddr": "0x00158d0000000b01"}, "target": {"ieeeAddr": "0x00124b0014b5c001"}, "lqi": 180,
                       "depth": 1, "relationship": 1, "routes": [{}]}, {"source": {}}],
        }));
        assert_eq!(found["nodes"].as_array().unwrap().len(), 1);
        assert_eq!(found["links"][0]["from"], "0x00158d0000000b01");
        assert_eq!((&found["links"][0]["lqi"], &found["links"][0]["routes"]), (&json!(180), &json!(1)));
        assert_eq!(map(&Value::Null), json!({"nodes": [], "links": []}));
    }
}
