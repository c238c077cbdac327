#include "src/engine/status_answer.h"

#include <unistd.h>

#include <atomic>
#include <span>
#include <thread>
#include <utility>

#include "src/base/clock.h"
#include "transport/open/open.h"

namespace moai::engine {

namespace {

constexpr double kAnswerSeconds = 3;
constexpr int kThreadsMax = 8;
std::atomic<int> answering{0};

std::string hello_text() {
  wire::Hello hello;
  hello.version = MOAI_VERSION;
  hello.pid = ::getpid();
  wire::Bytes bytes = wire::encode(hello);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

StatusOr<Message> await_message(Connection& connection, wire::Kind kind, Deadline deadline) {
  while (true) {
    StatusOr<Message> message = connection.next_message();
    if (message.ok() && message->kind == static_cast<uint8_t>(kind)) return message;
    if (message.ok()) continue;
    if (message.status().code() != StatusCode::again) return message.status();
    Status waited = connection.wait(deadline);
    if (waited.code() == StatusCode::deadline_exceeded)
      return Status(waited.code(), "[status] the other process did not answer in time");
    MOAI_RETURN_IF_ERROR(waited);
  }
}

Status answer(transport::Socket socket, const wire::StatusReply& reply) {
  Deadline deadline = in_seconds(kAnswerSeconds);
  MOAI_RETURN_IF_ERROR(transport::take_route(socket, deadline).status());
  MOAI_ASSIGN_OR_RETURN(transport::Opened opened,
                        transport::open_server(std::move(socket), {false, hello_text()}, deadline));
  MOAI_RETURN_IF_ERROR(
      await_message(*opened.connection, wire::Kind::status_request, deadline).status());
  MOAI_RETURN_IF_ERROR(opened.connection->send(static_cast<uint8_t>(wire::Kind::status_reply),
                                               wire::encode(reply), deadline));
  MOAI_RETURN_IF_ERROR(opened.connection->flush(deadline));
  // The asker closes first, so that nothing of the answer is lost.
  (void)await_message(*opened.connection, wire::Kind::close, deadline);
  return ok_status();
}

}  // namespace

void answer_status_in_background(transport::Socket socket, wire::StatusReply reply) {
  if (answering.fetch_add(1) >= kThreadsMax) {
    answering--;
    return;
  }
  std::thread([socket = std::move(socket), reply = std::move(reply)]() mutable {
    (void)answer(std::move(socket), reply);
    answering--;
  }).detach();
}

StatusOr<wire::StatusReply> ask_status(const transport::Address& address, Deadline deadline,
                                       wire::Hello* peer) {
  MOAI_ASSIGN_OR_RETURN(transport::Socket socket, transport::connect_to(address, deadline));
  MOAI_RETURN_IF_ERROR(transport::send_route(socket, "control", deadline));
  MOAI_ASSIGN_OR_RETURN(transport::Opened opened,
                        transport::open_client(std::move(socket), {false, hello_text()}, deadline));
  if (peer != nullptr) {
    MOAI_ASSIGN_OR_RETURN(*peer,
                          wire::decode<wire::Hello>(std::as_bytes(std::span(opened.peer_hello))));
  }
  MOAI_RETURN_IF_ERROR(
      opened.connection->send(static_cast<uint8_t>(wire::Kind::status_request), {}, deadline));
  MOAI_RETURN_IF_ERROR(opened.connection->flush(deadline));
  MOAI_ASSIGN_OR_RETURN(Message message,
                        await_message(*opened.connection, wire::Kind::status_reply, deadline));
  MOAI_ASSIGN_OR_RETURN(wire::StatusReply reply, wire::decode<wire::StatusReply>(message.body));
  (void)opened.connection->send(static_cast<uint8_t>(wire::Kind::close), {}, deadline);
  (void)opened.connection->flush(deadline);
  return reply;
}

}  // namespace moai::engine
