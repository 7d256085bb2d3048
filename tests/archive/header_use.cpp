// All of onepass.hpp, unoptimised, so that every inline function of it becomes a symbol.
#include <onepass/onepass.hpp>

#include <cstddef>

template class onepass::Expected<onepass::Model>;
template class onepass::Expected<onepass::Session>;
template class onepass::Expected<onepass::Classification>;

size_t use_everything(const std::string& path);
size_t use_everything(const std::string& path) {
  onepass::Model model = onepass::Model::from_memory({}).value();
  model = onepass::Model::open(path).value();
  onepass::Session session = onepass::Session::open(model).value();
  session = onepass::Session::open(model).value();
  const onepass::Classification c = session.classify(path).value();
  const auto ids = session.run_ids({}, {});
  const auto tokens = session.tokenize(path);
  return c.labels("").size() + c.tokens() + c.truncated() + static_cast<size_t>(c.confidence()) + c.logits().size() +
         c.model().heads().size() + model.info().class_count + model.piece(0).size() + model.verify().has_value() +
         ids->size() + tokens.error().text().size() + static_cast<size_t>(*session.isa()) +
         session.model().heads().size();
}
