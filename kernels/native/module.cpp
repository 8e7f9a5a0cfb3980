// The only file that knows Python: each native function becomes a builtin that takes numbers, text,
// handles (capsules) and anything with the buffer protocol. Written on CPython's stable ABI, so
// that one library serves every version from 3.11 on and no binding library is needed to build it.
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <exception>
#include <new>

#include "arguments.h"
#include "functions.h"

namespace perfuse {
namespace {

constexpr int kArgumentsMax = 16;
constexpr const char* kCapsule = "perfuse.owned";

// numpy's name of a buffer's element type, "" where it is none that a kernel takes. A prefix says
// byte order or, with '^', that the array is not aligned.
const char* dtype_name(const char* format, long item_bytes) {
  if (!format) format = "B";
  const char* native = *format == '@' || *format == '=' || *format == '<' || *format == '^'
                           ? format + 1 : format;
  if (!native[0] || native[1]) return "other than numbers";
  switch (native[0]) {
    case 'e': return "float16";
    case 'f': return "float32";
    case 'd': return "float64";
    case '?': return "bool";
    case 'b': case 'h': case 'i': case 'l': case 'q': case 'n':
      return item_bytes == 1 ? "int8" : item_bytes == 2 ? "int16" : item_bytes == 4 ? "int32"
                                                                                    : "int64";
    case 'B': case 'H': case 'I': case 'L': case 'Q': case 'N':
      return item_bytes == 1 ? "uint8" : item_bytes == 2 ? "uint16" : item_bytes == 4 ? "uint32"
                                                                                    : "uint64";
    default: return "other than numbers";
  }
}

// The arguments of one call; lets go of the buffers that it took.
class Arguments {
 public:
  ~Arguments() {
    for (int i = 0; i < num_views_; ++i) PyBuffer_Release(&views_[i]);
  }
  const Argument* all() const { return arguments_; }

  bool read(PyObject* const* objects, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; ++i) {
      if (!read(objects[i], arguments_[i])) return false;
    }
    return true;
  }

 private:
  bool read(PyObject* object, Argument& argument) {
    if (PyLong_Check(object)) {
      argument.type = Argument::INT;
      argument.integer = PyLong_AsLongLong(object);
      if (argument.integer == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        PyErr_SetString(PyExc_ValueError, "an integer argument does not fit 64 bits");
        return false;
      }
    } else if (PyFloat_Check(object)) {
      argument.type = Argument::FLOAT;
      argument.number = PyFloat_AsDouble(object);
    } else if (object == Py_None) {
      argument.type = Argument::NONE;
    } else if (PyUnicode_Check(object)) {
      argument.type = Argument::TEXT;
      argument.text = PyUnicode_AsUTF8AndSize(object, nullptr);
      return argument.text != nullptr;
    } else if (PyCapsule_IsValid(object, kCapsule)) {
      argument.type = Argument::HANDLE;
      argument.handle = static_cast<Owned*>(PyCapsule_GetPointer(object, kCapsule));
    } else {
      return read_array(object, argument);
    }
    return true;
  }

  bool read_array(PyObject* object, Argument& argument) {
    Py_buffer& view = views_[num_views_];
    argument.type = Argument::ARRAY;
    Array& array = argument.array;
    array.writable = PyObject_GetBuffer(object, &view, PyBUF_RECORDS) == 0;
    if (!array.writable) {
      PyErr_Clear();
      if (PyObject_GetBuffer(object, &view, PyBUF_RECORDS_RO) != 0) return false;
    }
    ++num_views_;
    if (view.ndim > 4) {
      PyErr_Format(PyExc_ValueError, "an array has %d dimensions; at most 4", view.ndim);
      return false;
    }
    array.data = static_cast<char*>(view.buf);
    array.dtype = dtype_name(view.format, view.itemsize);
    array.ndim = view.ndim;
    for (int i = 0; i < view.ndim; ++i) {
      array.shape[i] = view.shape[i];
      array.strides[i] = view.strides[i];
    }
    return true;
  }

  Argument arguments_[kArgumentsMax];
  Py_buffer views_[kArgumentsMax];
  int num_views_ = 0;
};

void let_go(PyObject* capsule) {
  delete static_cast<Owned*>(PyCapsule_GetPointer(capsule, kCapsule));
}

PyObject* to_python(Result& result) {
  switch (result.type) {
    case Result::INT: return PyLong_FromLongLong(result.integer);
    case Result::FLOAT: return PyFloat_FromDouble(result.number);
    case Result::TEXT: return PyUnicode_FromString(result.text.c_str());
    case Result::HANDLE: {
      PyObject* capsule = PyCapsule_New(result.handle, kCapsule, let_go);
      if (!capsule) delete result.handle;
      return capsule;
    }
    default: Py_RETURN_NONE;
  }
}

PyObject* invoke(PyObject* self, PyObject* const* objects, Py_ssize_t count) {
  const auto* function = static_cast<const Function*>(PyCapsule_GetPointer(self, nullptr));
  if (count != function->num_arguments) {
    return PyErr_Format(PyExc_TypeError, "%s takes %d arguments, not %zd", function->name,
                        function->num_arguments, count);
  }
  Arguments arguments;
  if (!arguments.read(objects, count)) return nullptr;
  Result result;
  PyObject* kind = nullptr;
  std::string message;
  PyThreadState* state = function->keep_gil ? nullptr : PyEval_SaveThread();
  try {
    function->call(arguments.all(), result);
  } catch (const std::invalid_argument& error) {
    kind = PyExc_ValueError;
    message = error.what();
  } catch (const std::bad_alloc&) {
    kind = PyExc_MemoryError;
    message = "no memory for the kernel's weights or scratch";
  } catch (const std::exception& error) {
    kind = PyExc_RuntimeError;
    message = error.what();
  }
  if (state) PyEval_RestoreThread(state);
  if (kind) return PyErr_Format(kind, "%s: %s", function->name, message.c_str());
  return to_python(result);
}

constexpr int kFunctionsMax = 128;
PyMethodDef methods[kFunctionsMax];

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_lib", nullptr, -1, nullptr,
                          nullptr, nullptr, nullptr, nullptr};

}  // namespace
}  // namespace perfuse

extern "C" __attribute__((visibility("default"))) PyObject* PyInit__lib() {
  using namespace perfuse;
  PyObject* module = PyModule_Create(&definition);
  if (!module) return nullptr;
  int count = 0;
  for (const Function& function : functions()) {
    if (count == kFunctionsMax) {
      PyErr_SetString(PyExc_ImportError, "more functions than kFunctionsMax");
      return nullptr;
    }
    PyMethodDef& method = methods[count++];
    method = {function.name, reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(invoke)),
              METH_FASTCALL, nullptr};
    PyObject* self = PyCapsule_New(const_cast<Function*>(&function), nullptr, nullptr);
    PyObject* builtin = self ? PyCFunction_NewEx(&method, self, nullptr) : nullptr;
    Py_XDECREF(self);
    if (!builtin || PyModule_AddObject(module, function.name, builtin) < 0) return nullptr;
  }
  return module;
}
