#include "json.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "engine.h"

namespace native {
namespace {
constexpr size_t FILE_LIMIT = 64 << 20;
constexpr int DEEPEST = 64;
}  // namespace

class JsonReader {
 public:
  JsonReader(std::string_view text, const std::string& path) : text_(text), file_(path) {}

  Json whole() {
    Json out = value("", 0);
    skip_space();
    if (at_ != text_.size()) fail("more after its end");
    return out;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw BadRequest(file_ + ": no JSON at byte " + std::to_string(at_) + ": " + why);
  }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }

  char peek() {
    skip_space();
    if (at_ >= text_.size()) fail("it ends too soon");
    return text_[at_];
  }

  bool took(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }

  bool took_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  Json value(const std::string& path, int depth) {
    if (depth > DEEPEST) fail("too deep");
    Json out;
    out.path_ = path.empty() ? file_ : path;
    switch (peek()) {
      case '{': object(out, depth); break;
      case '[': list(out, depth); break;
      case '"':
        out.kind_ = Json::Kind::String;
        out.text_ = string();
        break;
      default: word_or_number(out);
    }
    return out;
  }

  void object(Json& out, int depth) {
    out.kind_ = Json::Kind::Object;
    ++at_;
    if (took('}')) return;
    do {
      if (peek() != '"') fail("expected a key");
      const std::string key = string();
      if (!took(':')) fail("expected ':'");
      out.members_[key] = value(out.path_ + "." + key, depth + 1);
    } while (took(','));
    if (!took('}')) fail("expected '}'");
  }

  void list(Json& out, int depth) {
    out.kind_ = Json::Kind::List;
    ++at_;
    if (took(']')) return;
    do {
      out.items_.push_back(value(out.path_ + "[" + std::to_string(out.items_.size()) + "]", depth + 1));
    } while (took(','));
    if (!took(']')) fail("expected ']'");
  }

  void word_or_number(Json& out) {
    if (took_word("null")) return;
    if (took_word("true") || took_word("false")) {
      out.kind_ = Json::Kind::Bool;
      out.truth_ = text_[at_ - 2] == 'u';  // tr_u_e, fal_s_e
      return;
    }
    const size_t end = text_.find_first_not_of("+-0123456789.eE", at_);
    out.kind_ = Json::Kind::Number;
    out.text_ = std::string(text_.substr(at_, end == std::string_view::npos ? end : end - at_));
    char* rest = nullptr;
    const double number = std::strtod(out.text_.c_str(), &rest);
    if (out.text_.empty() || *rest || !std::isfinite(number)) fail("no value");
    at_ += out.text_.size();
  }

  unsigned hex4() {
    unsigned out = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = at_ < text_.size() ? text_[at_] : ' ';
      const size_t digit = std::string_view("0123456789abcdef").find(static_cast<char>(std::tolower(c)));
      if (digit == std::string_view::npos) fail("a bad escape");
      out = out * 16 + static_cast<unsigned>(digit);
    }
    return out;
  }

  void append_code(std::string& out) {
    unsigned code = hex4();
    if (code >= 0xD800 && code < 0xDC00 && took_word("\\u")) code = 0x10000 + ((code - 0xD800) << 10) + (hex4() - 0xDC00);
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xC0 | (code >> 6));
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
      if (code < 0x10000) {
        out += static_cast<char>(0xE0 | (code >> 12));
      } else {
        out += static_cast<char>(0xF0 | ((code >> 18) & 7));
        out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
      }
      out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    }
  }

  std::string string() {
    std::string out;
    for (++at_;; ++at_) {
      if (at_ >= text_.size()) fail("a string without an end");
      const char c = text_[at_];
      if (c == '"') break;
      if (c != '\\') {
        out += c;
        continue;
      }
      if (++at_ >= text_.size()) fail("a string without an end");
      const size_t which = std::string_view("\"\\/bfnrt").find(text_[at_]);
      if (which != std::string_view::npos) {
        out += "\"\\/\b\f\n\r\t"[which];
      } else if (text_[at_] == 'u') {
        ++at_;
        append_code(out);
        --at_;  // the loop steps over the last of it
      } else {
        fail("a bad escape");
      }
    }
    ++at_;
    return out;
  }

  std::string_view text_;
  std::string file_;
  size_t at_ = 0;
};

Json Json::parse(std::string_view text, const std::string& path) { return JsonReader(text, path).whole(); }

Json Json::read(const std::string& path) { return parse(read_file(path, FILE_LIMIT), path); }

void Json::refuse(const char* wanted) const { throw BadRequest(path_ + ": expected " + wanted); }

const Json* Json::find(const std::string& key) const {
  const auto found = members().find(key);
  return found == members_.end() ? nullptr : &found->second;
}

const Json& Json::operator[](const std::string& key) const {
  const Json* found = find(key);
  if (!found) throw BadRequest(path_ + " has no '" + key + "'");
  return *found;
}

const std::string& Json::text() const {
  if (kind_ != Kind::String) refuse("a string");
  return text_;
}

double Json::number() const {
  if (kind_ != Kind::Number) refuse("a number");
  return std::strtod(text_.c_str(), nullptr);
}

int64_t Json::integer() const {
  if (kind_ != Kind::Number || text_.find_first_of(".eE") != std::string::npos) refuse("a whole number");
  return std::strtoll(text_.c_str(), nullptr, 10);
}

bool Json::truth() const {
  if (kind_ != Kind::Bool) refuse("true or false");
  return truth_;
}

const std::vector<Json>& Json::items() const {
  if (kind_ != Kind::List) refuse("a list");
  return items_;
}

const std::map<std::string, Json>& Json::members() const {
  if (kind_ != Kind::Object) refuse("an object");
  return members_;
}

// Bytes of the UTF-8 character that begins there, 0 where none does.
static size_t character_at(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const size_t length = lead < 0x80 ? 1 : lead >= 0xC2 && lead < 0xE0 ? 2 : lead >= 0xE0 && lead < 0xF0 ? 3
                      : lead >= 0xF0 && lead < 0xF5 ? 4 : 0;
  if (at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((static_cast<unsigned char>(text[at + i]) & 0xC0) != 0x80) return 0;
  if (length < 3) return length;
  const auto next = static_cast<unsigned char>(text[at + 1]);
  const bool overlong = (lead == 0xE0 && next < 0xA0) || (lead == 0xF0 && next < 0x90);
  const bool no_character = (lead == 0xED && next >= 0xA0) || (lead == 0xF4 && next >= 0x90);
  return overlong || no_character ? 0 : length;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const auto code = static_cast<unsigned char>(c);
    if (code >= 0x80) {
      const size_t length = character_at(text, at);
      out += length ? std::string(text.substr(at, length)) : "?";
      at += length ? length - 1 : 0;
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (code < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", code);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string read_file(const std::string& path, size_t limit) {
  std::ifstream in(path, std::ios::binary);
  std::string out;
  char block[1 << 16];
  while (in.read(block, sizeof block) || in.gcount()) {
    out.append(block, static_cast<size_t>(in.gcount()));
    if (out.size() > limit) throw BadRequest(path + " is larger than " + std::to_string(limit) + " bytes");
  }
  if (!in.eof()) throw BadRequest("cannot read " + path);
  return out;
}

}  // namespace native
