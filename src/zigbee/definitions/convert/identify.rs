//! `identify`: the device makes itself seen (ZCL r8 §3.5).

use super::*;

const IDENTIFY: ClusterId = ClusterId(0x0003);
const FOR_S: u16 = 3;

pub struct Identify;

impl Convert for Identify {
    fn access(&self, name: &str) -> u8 {
        if name == "identify" { SET } else { 0 }
    }

    fn encode(
        &self,
        context: &Context<'_>,
        request: &mut Request,
        _memory: &Memory,
        plan: &mut Plan,
    ) -> Result<(), Refusal> {
        let Some(value) = request.take("identify") else { return Ok(()) };
        let endpoint = context.endpoint(request.endpoint(), IDENTIFY);
        plan.commands.push(command(endpoint, IDENTIFY, "identify", &[("identifytime", FOR_S.into())])?);
        expect_taken(plan, context.full("identify", request.endpoint()), value);
        Ok(())
    }
}
