package seclang

import "strconv"

// bodyScalar are the variables about the request body and its parsing.
func (tx *Transaction) bodyScalar(v varID) (string, bool) {
	q := &tx.request
	switch v {
	case vReqbodyProcessor:
		return tx.ctl.processor, tx.ctl.processor != ""
	case vReqbodyError:
		return flag(q.err != ""), true
	case vReqbodyErrorMsg:
		return q.err, q.err != ""
	case vUrlencodedError:
		return flag(q.urlError || q.getError), true
	case vRequestBody:
		return string(q.body), len(q.body) > 0
	case vRequestBodyLength:
		return strconv.FormatInt(q.size, 10), true
	}
	return "", false
}

func (tx *Transaction) responseText(varID) (string, bool) {
	return string(tx.response.body), len(tx.response.body) > 0
}

// eachOfBody yields what the body's processor found: files, part headers, XML.
func (tx *Transaction) eachOfBody(*source, func(key, val string)) {}
