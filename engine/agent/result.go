package agent

import (
	"fmt"

	"github.com/rbdplay/rbdplay/modules"
)

// plain says which value of a result is none of the kinds that modules.Result
// allows, and so would not survive the way to the controller.
func plain(value any, at string) error {
	switch v := value.(type) {
	case nil, string, bool, int, int64, float64, []string:
		return nil
	case []any:
		for i, item := range v {
			if err := plain(item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		for key, item := range v {
			if err := plain(item, at+"."+key); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("the module reports a %T as %s, which is no plain value: the module is wrong", value, at)
	}
}

// deliverable turns an outcome that cannot be sent into one that says so.
func deliverable(o modules.Outcome) modules.Outcome {
	for key, value := range o.Result {
		if err := plain(value, key); err != nil {
			o.Status, o.Message, o.Result = modules.Failed, err.Error(), modules.Result{}
			return o
		}
	}
	if o.Result == nil {
		o.Result = modules.Result{}
	}
	return o
}
