#include "src/engine/recording.h"

#include <cstring>

#include "src/base/log.h"

namespace moai::engine {

namespace {
constexpr char kMagic[] = "moai-recording 1\n";
constexpr size_t kMagicBytes = sizeof kMagic - 1;
constexpr size_t kHeadBytes = 9;
}  // namespace

StatusOr<std::unique_ptr<RecordingWriter>> RecordingWriter::open(const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr) return invalid("--record: " + path + " cannot be written");
  std::fwrite(kMagic, 1, kMagicBytes, file);
  return std::unique_ptr<RecordingWriter>(new RecordingWriter(file));
}

RecordingWriter::~RecordingWriter() { std::fclose(file_); }

void RecordingWriter::add(uint8_t kind, wire::Span body) {
  unsigned char head[kHeadBytes] = {kind};
  for (int i = 0; i < 8; i++) head[1 + i] = static_cast<unsigned char>(body.size() >> (8 * i));
  std::fwrite(head, 1, kHeadBytes, file_);
  std::fwrite(body.data(), 1, body.size(), file_);
}

StatusOr<std::unique_ptr<RecordingReader>> RecordingReader::open(const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr)
    return Status{StatusCode::not_found,
                  "replay: " + path + " cannot be read; name a file that --record wrote"};
  std::fseek(file, 0, SEEK_END);
  long end = std::ftell(file);
  std::fseek(file, 0, SEEK_SET);
  char magic[kMagicBytes];
  if (end < static_cast<long>(kMagicBytes) ||
      std::fread(magic, 1, kMagicBytes, file) != kMagicBytes ||
      std::memcmp(magic, kMagic, kMagicBytes) != 0) {
    std::fclose(file);
    return invalid("replay: " + path + " is no recording of this version");
  }
  return std::unique_ptr<RecordingReader>(
      new RecordingReader(file, static_cast<uint64_t>(end) - kMagicBytes));
}

RecordingReader::~RecordingReader() { std::fclose(file_); }

// What a killed program leaves: all messages but the last are whole.
Status RecordingReader::end_early() {
  log_warning("replay: the recording ends inside a message; what is whole before it is run");
  bytes_left_ = 0;
  return {StatusCode::not_found, "replay: the recording ends here"};
}

Status RecordingReader::next(uint8_t& kind, std::vector<std::byte>& body) {
  if (bytes_left_ == 0) return {StatusCode::not_found, "replay: the recording ends here"};
  unsigned char head[kHeadBytes];
  if (bytes_left_ < kHeadBytes) return end_early();
  if (std::fread(head, 1, kHeadBytes, file_) != kHeadBytes)
    return unavailable("replay: the recording cannot be read");
  bytes_left_ -= kHeadBytes;
  kind = head[0];
  uint64_t size = 0;
  for (int i = 0; i < 8; i++) size |= uint64_t{head[1 + i]} << (8 * i);
  if (size > bytes_left_) return end_early();
  body.resize(size);
  if (std::fread(body.data(), 1, size, file_) != size)
    return unavailable("replay: the recording cannot be read");
  bytes_left_ -= size;
  return ok_status();
}

}  // namespace moai::engine
