// Current device, streams and events. Streams are labels in one program order; an event that
// measures time is a stamp of the server.
#pragma once

namespace moai::bridge {

void register_guard();
// Milliseconds between two events of torch.cuda.Event (their event_id).
double elapsed_ms(void* first, void* second);

}  // namespace moai::bridge
