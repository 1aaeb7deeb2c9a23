"""What schemathesis does before it asks: servers behind the hub are written switched off, so that none of them is started, whatever
program the body names. Loaded by schemathesis itself (SCHEMATHESIS_HOOKS)."""

import schemathesis


@schemathesis.hook
def before_call(_context, case, _kwargs):
    is_server = case.operation.path == "/api/v1/mcp-servers/{slug}" and case.method.upper() == "PUT"
    if is_server and isinstance(case.body, dict):
        case.body["enabled"] = False
